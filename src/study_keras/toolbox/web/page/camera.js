// 相机：换着镜头，一帧接一帧交给模型。画面只在内存里，关上就没有了。

export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
    this.request = null; // 最近的一次打开；关掉就作废
    this.lens = null; // 上次用的镜头，{deviceId, facingMode}
  }

  get isOpen() {
    return this.stream !== null;
  }

  /** 开着，而且第一帧到了。 */
  get hasPicture() {
    return this.isOpen && this.video.videoWidth > 0;
  }

  /** 打开相机（turned：换一个镜头）；还没有画面就又点了一次、或关掉了，就作废，返回 false。 */
  async open(turned) {
    if (!navigator.mediaDevices) throw new Error("浏览器只在 https 或本机（localhost）的网页上让用相机");
    this.close();
    const request = (this.request = {});
    try {
      const stream = await ask(turned ? await others(this.lens) : same(this.lens));
      if (this.request === request) await this.show(stream);
      else stop(stream);
    } catch (error) {
      if (this.request === request) throw new Error(REASONS[error.name] ?? error.message);
    }
    return this.request === request;
  }

  show(stream) {
    this.stream = stream;
    this.lens = stream.getVideoTracks()[0].getSettings();
    this.video.srcObject = stream;
    this.video.hidden = false;
    this.video.classList.toggle("mirrored", this.lens.facingMode === "user"); // 前镜头像镜子；交给模型的不翻转
    return this.video.play();
  }

  close() {
    this.request = null;
    if (this.stream) stop(this.stream);
    this.stream = null;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  async hasAnother() {
    const ids = await allIds();
    return this.isOpen && ids.length > 1;
  }

  /**
   * 开着的时候，算完一帧再看下一帧；一帧不成，下一帧再试。
   * @param tell (为什么) => …：不成了，或换了原因，就说一次；又成了，为什么是空的
   */
  async watch(look, tell) {
    const { stream, video } = this;
    let reason = "";
    while (stream && this.stream === stream) {
      const before = reason;
      try {
        if (this.hasPicture) await look(video, video.videoWidth, video.videoHeight);
        reason = "";
      } catch (error) {
        reason = error.message;
      }
      if (reason !== before && this.stream === stream) tell(reason);
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

/** 依次试各个镜头：没有这样的，就试下一个。 */
async function ask([lens, ...rest]) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { ...lens, width: { ideal: 1280 } }, audio: false });
  } catch (error) {
    if (error.name === "OverconstrainedError" && rest.length) return ask(rest);
    throw error;
  }
}

/** 上次的镜头；没有上次，先用后面的：拍的多半是眼前的东西。 */
function same(lens) {
  const back = { facingMode: "environment" };
  return lens ? [{ deviceId: { exact: lens.deviceId } }, back] : [back];
}

/** 另一个镜头：朝向相反的，或名单上的下一个；电脑的相机多半不说朝哪边。 */
async function others({ deviceId, facingMode }) {
  const ids = await allIds();
  const next = { deviceId: { exact: ids[(ids.indexOf(deviceId) + 1) % ids.length] } };
  return facingMode ? [{ facingMode: { exact: facingMode === "user" ? "environment" : "user" } }, next] : [next];
}

async function allIds() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").map((device) => device.deviceId);
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

const REASONS = {
  NotAllowedError: "没有得到允许，请在浏览器的地址栏旁边改",
  NotFoundError: "没有找到相机",
  NotReadableError: "别的程序正在用它",
  OverconstrainedError: "没有这样的镜头",
};
