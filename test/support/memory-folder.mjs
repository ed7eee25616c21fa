import { statfsSync } from "node:fs";
import { freemem } from "node:os";

const FOLDER = "/dev/shm";
/** Linux' name for a file system in memory. */
const TMPFS_MAGIC = 0x01021994;
/** Ten times what the files of a whole run were seen to hold at once. */
const ROOM_MIN_BYTES = 4 * 2 ** 30;

/**
 * A folder in memory for the files of servers that live as long as a run of the tests. They make and drop some 700 databases of 300 files
 * each, and ext4 looks at every inode that was deleted in the last minutes whenever a file is made: half of both cores, measured.
 * @returns null: this machine has none, or no room in it; the disk serves.
 */
export function memoryFolder() {
  try {
    const { type, bavail, bsize } = statfsSync(FOLDER);
    return type === TMPFS_MAGIC && Math.min(bavail * bsize, freemem()) >= ROOM_MIN_BYTES ? FOLDER : null;
  } catch {
    return null; // not Linux
  }
}
