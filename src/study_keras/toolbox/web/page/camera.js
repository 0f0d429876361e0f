// 相机：前后镜头，一帧接一帧交给模型。画面只在内存里，关上就没有了。

export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
    this.request = null; // 正在等允许的一次
    this.facing = "environment"; // 先用后面的镜头：拍的多半是眼前的东西
  }

  get isOpen() {
    return this.stream !== null;
  }

  /** 打开相机（turned：换一个镜头）；等允许的时候又点了一次、或关掉了，就作废，返回 false。 */
  async open(turned) {
    if (!navigator.mediaDevices) throw new Error("浏览器只在 https 或本机（localhost）的网页上让用相机");
    this.close();
    if (turned) this.facing = this.facing === "environment" ? "user" : "environment";
    const wanted = { video: { facingMode: this.facing, width: { ideal: 1280 } }, audio: false };
    const request = (this.request = {});
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(wanted);
    } catch (error) {
      throw new Error(REASONS[error.name] ?? error.message);
    }
    if (this.request !== request) {
      stop(stream);
      return false;
    }
    this.stream = stream;
    this.video.srcObject = this.stream;
    this.video.hidden = false;
    const facing = this.stream.getVideoTracks()[0].getSettings().facingMode ?? this.facing;
    this.video.classList.toggle("mirrored", facing === "user"); // 前镜头像镜子；交给模型的不翻转
    await this.video.play();
    return true;
  }

  close() {
    this.request = null;
    if (this.stream) stop(this.stream);
    this.stream = null;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  async hasAnother() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === "videoinput").length > 1;
  }

  /** 开着的时候，算完一帧再看下一帧。 */
  async watch(look) {
    const { stream, video } = this;
    while (stream && this.stream === stream) {
      if (video.videoWidth) await look(video, video.videoWidth, video.videoHeight);
      await new Promise((resolve) => setTimeout(resolve, 100)); // 让页面有空画画、应答
    }
  }

  /** 此刻的画面；PNG 不损失像素，JPEG 小得多。 */
  photo(type = "image/png") {
    const canvas = new OffscreenCanvas(this.video.videoWidth, this.video.videoHeight);
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    return canvas.convertToBlob({ type, quality: 0.95 });
  }
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

const REASONS = {
  NotAllowedError: "没有得到允许，请在浏览器的地址栏旁边改",
  NotFoundError: "没有找到相机",
  NotReadableError: "别的程序正在用它",
};
