// Reads the code that internal/testmedia draws across the top eighth of every frame:
// 3 rows of 32 blocks, white for 1, holding 48 bits of Unix milliseconds, 32 bits of
// frame number and a CRC-16 of both.

const cols = 32;
const rows = 3;

// The size to scale the field to before reading: four pixels to a block's side.
export const fieldWidth = 4 * cols;
export const fieldHeight = 4 * rows;

// fieldPart is how much of the picture's height the field takes.
export const fieldPart = 1 / 8;

// read returns {time, frame} from the RGBA pixels of the scaled field, or null for a
// picture that holds no code, or one too damaged to trust.
export function read(rgba) {
  const bytes = new Uint8Array((cols * rows) / 8);
  for (let bit = 0; bit < cols * rows; bit++) {
    const x = (bit % cols) * 4 + 1;
    const y = Math.floor(bit / cols) * 4 + 1;
    let sum = 0; // of the inner four pixels; green stands for luma
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      sum += rgba[((y + dy) * fieldWidth + x + dx) * 4 + 1];
    }
    if (sum > 4 * 127) bytes[bit >> 3] |= 0x80 >> (bit & 7);
  }
  const v = new DataView(bytes.buffer);
  if (crc16(bytes.subarray(0, 10)) !== v.getUint16(10)) return null;
  return { time: v.getUint16(0) * 2 ** 32 + v.getUint32(2), frame: v.getUint32(6) };
}

// crc16 is CRC-16/CCITT-FALSE.
export function crc16(bytes) {
  let crc = 0xffff;
  for (const b of bytes) {
    crc ^= b << 8;
    for (let i = 0; i < 8; i++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
