// 照片朝哪边。JPEG、PNG、AVIF 的 EXIF 浏览器自己会照着转正；WebP 的 EXIF、写在 XMP 里的方向，Pillow 照着转，
// 浏览器不转，所以在这里转。

const ORIENTATION = 0x0112; // EXIF 里方向的编号
const METADATA = /^(eXIf|iTXt|EXIF|XMP )$/; // PNG、WebP 里可能装着方向的块
const ASCII_ZERO = 48;
// 方向 → 画布的变换 [a, b, c, d]：(x, y) 画到 (ax + cy, bx + dy)；见 toolbox/photos/read.py 的 _UPRIGHT
const UPRIGHT = {
  2: [-1, 0, 0, 1],
  3: [-1, 0, 0, -1],
  4: [1, 0, 0, -1],
  5: [0, 1, 1, 0],
  6: [0, 1, -1, 0],
  7: [0, -1, -1, 0],
  8: [0, -1, 1, 0],
};

/**
 * 取出浏览器不看的方向，在原处写成 1（正立）：万一有浏览器看，也不会转两次。EXIF 里有方向，XMP 里的就不算数。
 * @param {Uint8Array} bytes 整个文件，从它的 buffer 的开头起
 * @returns {number} 没有是 1
 */
export function takeOrientation(bytes, kind) {
  let exif = 0; // 在第几个字节；0 是没有
  let xmp = 0;
  for (const block of metadata(bytes, kind)) {
    exif ||= inExif(block);
    xmp ||= inXmp(block);
  }
  if (exif && kind !== "webp") return 1;
  const [at, zero] = exif ? [exif, 0] : [xmp, ASCII_ZERO];
  if (!at) return 1;
  const orientation = bytes[at] - zero;
  bytes[at] = zero + 1;
  return orientation;
}

/** 按方向转正；转了，原来的位图就关掉。 */
export function upright(bitmap, orientation) {
  if (!(orientation in UPRIGHT)) return bitmap;
  const [a, b, c, d] = UPRIGHT[orientation];
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(a ? width : height, a ? height : width);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.setTransform(a, b, c, d, a + c < 0 ? canvas.width : 0, b + d < 0 ? canvas.height : 0);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.transferToImageBitmap();
}

/** JPEG 像素数据（FF DA）之前的各段：[标记, 从哪里, 到哪里]。 */
export function* jpegSegments(bytes) {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    if (bytes[at + 1] === 0xff) {
      at++; // 补白
      continue;
    }
    const from = at + 4;
    at += 2 + (bytes[at + 2] << 8) + bytes[at + 3];
    yield [bytes[from - 3], from, at];
  }
}

/** 可能装着方向的各块的内容。 */
function* metadata(bytes, kind) {
  if (kind === "jpeg") {
    for (const [marker, from, to] of jpegSegments(bytes)) if (marker === 0xe1) yield bytes.subarray(from, to);
  }
  if (kind !== "png" && kind !== "webp") return;
  const isPng = kind === "png"; // 一块是：长度、名字、内容、校验；WebP 是：名字、长度、内容，凑成偶数个字节
  const view = new DataView(bytes.buffer);
  for (let at = isPng ? 8 : 12; at + 8 <= bytes.length; ) {
    const name = textOf(isPng ? bytes.subarray(at + 4, at + 8) : bytes.subarray(at, at + 4));
    const length = isPng ? view.getUint32(at) : view.getUint32(at + 4, true);
    if (METADATA.test(name)) yield bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length + (isPng ? 4 : length % 2);
  }
}

/** 方向在整个文件的第几个字节；EXIF 是一个小的 TIFF，看它的第一个目录。 */
function inExif(block) {
  const tiff = textOf(block.subarray(0, 6)) === "Exif\0\0" ? block.subarray(6) : block;
  const order = textOf(tiff.subarray(0, 4));
  if (tiff.length < 8 || (order !== "II*\0" && order !== "MM\0*")) return 0;
  const isLittle = order === "II*\0";
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.length);
  const short = (at) => (at + 2 <= tiff.length ? view.getUint16(at, isLittle) : 0);
  const directory = view.getUint32(4, isLittle);
  for (let i = 0; i < short(directory); i++) {
    const entry = directory + 2 + 12 * i;
    if (short(entry) === ORIENTATION) return tiff.byteOffset + entry + (isLittle ? 8 : 9); // 小于 256，只占一个字节
  }
  return 0;
}

/** 方向在整个文件的第几个字节；写法与 Pillow 认的相同。 */
function inXmp(block) {
  const found = /tiff:Orientation(="|>)[0-9]/.exec(textOf(block));
  return found ? block.byteOffset + found.index + found[0].length - 1 : 0;
}

/** 一个字节一个字。 */
const textOf = (bytes) => new TextDecoder("latin1").decode(bytes);
