// 把几个文件装进一个 zip，不压缩：照片本来就压缩过。格式见 PKWARE 的 APPNOTE.TXT。

const UTF_8 = 0x0800; // 名字是 UTF-8 的
const DATE = 0x0021; // 1980 年 1 月 1 日：不记下拍照的时间
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/**
 * @param {{name: string, bytes: Uint8Array}[]} files
 * @returns {Blob}
 */
export function zip(files) {
  const parts = [];
  const listed = [];
  let at = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    const common = [20, UTF_8, 0, 0, DATE]; // 版本、标志、不压缩、时间、日期
    const sizes = [crc32(bytes), bytes.length, bytes.length];
    const local = record(0x04034b50, common, sizes, [path.length, 0], path);
    listed.push(record(0x02014b50, [20, ...common], sizes, [path.length, 0, 0, 0, 0, 0, 0], path, at));
    parts.push(local, bytes);
    at += local.length + bytes.length;
  }
  const length = listed.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  for (const offset of [8, 10]) end.setUint16(offset, files.length, true);
  end.setUint32(12, length, true);
  end.setUint32(16, at, true);
  return new Blob([...parts, ...listed, end], { type: "application/zip" });
}

/** 一个文件的记录：签名、16 位的数、32 位的数、16 位的数、（总目录里）在哪里开始、名字。 */
function record(signature, shorts, longs, lengths, path, start = null) {
  const size = 4 + 2 * shorts.length + 4 * longs.length + 2 * lengths.length + (start === null ? 0 : 4);
  const view = new DataView(new ArrayBuffer(size));
  let at = 0;
  const short = (value) => view.setUint16((at += 2) - 2, value, true);
  const long = (value) => view.setUint32((at += 4) - 4, value, true);
  long(signature);
  shorts.forEach(short);
  longs.forEach(long);
  lengths.forEach(short);
  if (start !== null) long(start);
  const result = new Uint8Array(size + path.length);
  result.set(new Uint8Array(view.buffer));
  result.set(path, size);
  return result;
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
