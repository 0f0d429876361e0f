// 照片变成模型要的 224×224 个像素：转正、双线性缩放都与课程（Pillow）逐步相同，不用浏览器自己的缩放。

export const SIDE = 224;
const SHORTEST_SIDE = 2 * SIDE; // 大 JPEG 先缩小到几分之一，短边至少还有这么多像素；同 toolbox/photos/read.py
const PRECISION = 22; // Pillow 的系数是 22 位小数的整数
const ROWS_AT_ONCE = 256; // 一次只向浏览器要这么多行，手机的内存才够

/** 不能当作照片来读；message 是给人看的一句中文。 */
export class PhotoError extends Error {}

/**
 * 把一个文件解码成正立的位图。
 * @param {Blob} blob
 * @returns {Promise<{bitmap: ImageBitmap, shrink: number, note: string}>} shrink 是缩放之前先缩小几倍（1、2、4、8）
 */
export async function decodePhoto(blob) {
  if (!blob.size) throw new PhotoError("空文件");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const kind = kindOf(bytes);
  if (kind === null) throw new PhotoError("不是能识别的图片");
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${kind}` }), { colorSpaceConversion: "none" });
  } catch {
    throw new PhotoError(kind === "jpeg" || kind === "png" ? "数据损坏，或太大" : "这个浏览器读不了它：请先转成 JPEG");
  }
  const times = Math.floor(Math.min(bitmap.width, bitmap.height) / SHORTEST_SIDE);
  const shrink = kind === "jpeg" ? [8, 4, 2].find((factor) => factor <= times) ?? 1 : 1;
  return { bitmap, shrink, note: kind === "jpeg" && !isComplete(bytes) ? "这个文件好像不完整" : "" };
}

/** 由开头的几个字节认出格式；名字与类型都可能写错。 */
function kindOf(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 12));
  if (text.startsWith("\xff\xd8\xff")) return "jpeg";
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (/^GIF8[79]a/.test(text)) return "gif";
  if (text.startsWith("BM")) return "bmp";
  if (/^RIFF[^]{4}WEBP/.test(text)) return "webp";
  if (/^[^]{4}ftypavi[fs]/.test(text)) return "avif";
  if (/^[^]{4}ftyp(hei|hev|mif1|msf1)/.test(text)) return "heic";
  return null;
}

/** JPEG 的像素数据之后有没有结束标记（FF D9）；EXIF 的缩略图里也有，所以从像素数据的开头（FF DA）找起。 */
function isComplete(bytes) {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    at += bytes[at + 1] === 0xff ? 1 : 2 + (bytes[at + 2] << 8) + bytes[at + 3];
  }
  for (let i = bytes.length - 2; i > at; i--) {
    if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
  }
  return false;
}

/**
 * 画面（位图、视频、画布）变成模型的输入。
 * @returns {Float32Array} 224×224×3 个 0 至 255 的整数，RGB
 */
export function modelInput(source, width, height, shrink = 1) {
  const canvas = new OffscreenCanvas(width, Math.min(height, ROWS_AT_ONCE));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const readRows = (top, rows) => {
    context.fillStyle = "white"; // 透明处填白
    context.fillRect(0, 0, width, rows);
    context.drawImage(source, 0, top, width, rows, 0, 0, width, rows);
    return context.getImageData(0, 0, width, rows).data;
  };
  return Float32Array.from(resize(readRows, width, height, shrink));
}

/**
 * Pillow 的 resize((224, 224), BILINEAR)：先横后竖，每次都舍入到 8 位整数。
 * @param readRows (top, rows) => 这几行的 RGBA
 * @returns {Uint8Array} 224×224×3
 */
export function resize(readRows, width, height, shrink = 1) {
  const smallWidth = Math.ceil(width / shrink);
  const smallHeight = Math.ceil(height / shrink);
  const across = weights(smallWidth);
  const narrow = new Uint8Array(smallHeight * SIDE * 3);
  for (let top = 0; top < height; top += ROWS_AT_ONCE) {
    const rows = Math.min(ROWS_AT_ONCE, height - top);
    const rgba = average(readRows(top, rows), width, rows, shrink);
    for (let y = 0; y < Math.ceil(rows / shrink); y++) {
      const from = y * smallWidth * 4;
      const to = (top / shrink + y) * SIDE * 3;
      across.forEach((window, x) => combine(rgba, from, 4, window, narrow, to + 3 * x));
    }
  }
  const result = new Uint8Array(SIDE * SIDE * 3);
  weights(smallHeight).forEach((window, y) => {
    for (let x = 0; x < SIDE; x++) combine(narrow, 3 * x, 3 * SIDE, window, result, (y * SIDE + x) * 3);
  });
  return result;
}

/** 一个方向上，224 个输出各由哪几个输入、以什么权重合成；算法同 Pillow 的 src/libImaging/Resample.c。 */
function weights(size) {
  const scale = size / SIDE;
  const support = Math.max(scale, 1);
  const narrower = 1 / support; // 先取倒数再乘，与 C 里的舍入才逐位相同
  return Array.from({ length: SIDE }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(size, Math.trunc(center + support + 0.5));
    const triangle = [];
    for (let j = first; j < last; j++) triangle.push(Math.max(0, 1 - Math.abs((j - center + 0.5) * narrower)));
    const total = triangle.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: triangle.map((weight) => Math.trunc(0.5 + (weight / total) * 2 ** PRECISION)) };
  });
}

function combine(input, from, step, { first, weights }, output, to) {
  let red = 2 ** (PRECISION - 1);
  let green = red;
  let blue = red;
  for (let j = 0, at = from + first * step; j < weights.length; j++, at += step) {
    red += input[at] * weights[j];
    green += input[at + 1] * weights[j];
    blue += input[at + 2] * weights[j];
  }
  output[to] = Math.min(255, red >> PRECISION);
  output[to + 1] = Math.min(255, green >> PRECISION);
  output[to + 2] = Math.min(255, blue >> PRECISION);
}

/** 每 factor×factor 个像素取平均；课程让 JPEG 解码器直接解成几分之一，结果很接近。 */
function average(rgba, width, rows, factor) {
  if (factor === 1) return rgba;
  const outWidth = Math.ceil(width / factor);
  const outRows = Math.ceil(rows / factor);
  const result = new Uint8Array(outWidth * outRows * 4);
  for (let y = 0; y < outRows; y++) {
    for (let x = 0; x < outWidth; x++) {
      const sums = [0, 0, 0];
      const right = Math.min(width, (x + 1) * factor);
      const bottom = Math.min(rows, (y + 1) * factor);
      for (let j = y * factor; j < bottom; j++) {
        for (let i = x * factor; i < right; i++) {
          for (let c = 0; c < 3; c++) sums[c] += rgba[(j * width + i) * 4 + c];
        }
      }
      const count = (right - x * factor) * (bottom - y * factor);
      for (let c = 0; c < 3; c++) result[(y * outWidth + x) * 4 + c] = Math.round(sums[c] / count);
    }
  }
  return result;
}
