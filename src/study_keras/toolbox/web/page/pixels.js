// 照片变成模型要的 224×224 个像素：转正、双线性缩放都与课程（Pillow）逐步相同，不用浏览器自己的缩放。

import { jpegSegments, takeOrientation, upright } from "./orientation.js";

export const SIDE = 224;
const MOST_BYTES = 500e6; // 再大的文件不读；同 toolbox/photos/read.py
const SHORTEST_SIDE = 2 * SIDE; // 大 JPEG 先缩小到几分之一，短边至少还有这么多像素；同 toolbox/photos/read.py
const PRECISION = 22; // Pillow 的系数是 22 位小数的整数
const LINES_AT_ONCE = 256; // 一次只向浏览器要这么多行（或列），手机的内存才够

/** 不能当作照片来读；message 是给人看的一句中文。 */
export class PhotoError extends Error {}

/**
 * 把一个文件解码成正立的位图。
 * @param {Blob} blob
 * @returns {Promise<{bitmap: ImageBitmap, shrink: number, kind: string, note: string}>}
 *   shrink 是缩放之前先缩小几倍（1、2、4、8），kind 是格式，也是文件名的后缀
 */
export async function decodePhoto(blob) {
  const size = Math.round(blob.size / 1e6);
  if (blob.size > MOST_BYTES) throw new PhotoError(`文件太大（${size} MB，最多 ${MOST_BYTES / 1e6} MB）`);
  const kind = kindOf(await bytesOf(blob.slice(0, 12)));
  if (kind === null) throw new PhotoError(blob.size ? "不是能识别的图片" : "空文件");
  const bytes = await bytesOf(blob);
  const orientation = takeOrientation(bytes, kind);
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([bytes], { type: `image/${kind}` }), { colorSpaceConversion: "none" });
  } catch {
    throw new PhotoError(kind === "jpeg" || kind === "png" ? "数据损坏，或太大" : "这个浏览器读不了它：请先转成 JPEG");
  }
  bitmap = upright(bitmap, orientation);
  const times = Math.floor(Math.min(bitmap.width, bitmap.height) / SHORTEST_SIDE);
  const shrink = kind === "jpeg" ? [8, 4, 2].find((factor) => factor <= times) ?? 1 : 1;
  return { bitmap, shrink, kind, note: kind === "jpeg" && !isComplete(bytes) ? "这个文件好像不完整" : "" };
}

async function bytesOf(blob) {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw new PhotoError("是文件夹，或文件已经移走、改过了");
  }
}

/** 由开头的几个字节认出格式；名字与类型都可能写错。 */
function kindOf(bytes) {
  const text = String.fromCharCode(...bytes);
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
  for (const [, , to] of jpegSegments(bytes)) at = to;
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
  const read = (left, top, columns, rows) => {
    const canvas = new OffscreenCanvas(columns, rows);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white"; // 透明处填白
    context.fillRect(0, 0, columns, rows);
    context.drawImage(source, left, top, columns, rows, 0, 0, columns, rows);
    return context.getImageData(0, 0, columns, rows).data;
  };
  return Float32Array.from(resize(read, width, height, shrink));
}

/**
 * Pillow 的 resize((224, 224), BILINEAR)：两个方向各做一次，每次都舍入到 8 位整数。
 * @param read (left, top, columns, rows) => 这一块的 RGBA
 * @returns {Uint8Array} 224×224×3
 */
function resize(read, width, height, shrink) {
  const smallWidth = Math.ceil(width / shrink);
  const smallHeight = Math.ceil(height / shrink);
  const byColumns = isVerticalFirst(smallWidth, smallHeight);
  const [lines, originals] = byColumns ? [smallWidth, width] : [smallHeight, height];
  const [first, second] = [weights(byColumns ? smallHeight : smallWidth), weights(lines)];
  const narrow = new Uint8Array(lines * SIDE * 3); // 每行（或每列）缩成 224 个
  for (let start = 0; start < originals; start += LINES_AT_ONCE) {
    const count = Math.min(LINES_AT_ONCE, originals - start);
    const block = byColumns
      ? average(read(start, 0, count, height), count, height, shrink)
      : average(read(0, start, width, count), width, count, shrink);
    const across = byColumns ? Math.ceil(count / shrink) : smallWidth;
    const [next, step] = byColumns ? [4, 4 * across] : [4 * across, 4];
    for (let line = 0; line < Math.ceil(count / shrink); line++) {
      const to = (start / shrink + line) * SIDE * 3;
      first.forEach((window, i) => combine(block, line * next, step, window, narrow, to + 3 * i));
    }
  }
  const result = new Uint8Array(SIDE * SIDE * 3);
  second.forEach((window, j) => {
    for (let i = 0; i < SIDE; i++) {
      combine(narrow, 3 * i, 3 * SIDE, window, result, 3 * (byColumns ? i * SIDE + j : j * SIDE + i));
    }
  });
  return result;
}

/** Pillow 13 先缩小哪个方向：竖着要去掉的行比横着要去掉的列多一倍以上，就先竖后横（由试验得出）。 */
function isVerticalFirst(width, height) {
  return height > SIDE && height - SIDE > 2 * (width - SIDE);
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
