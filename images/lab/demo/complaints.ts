/**
 * What kernels say when they find that they are wrong: a bug, a broken rule of locking, a wrong access (with a kernel
 * that debugs itself), a task or a processor that does not get on.
 */

/** Nearly all of them print a call trace besides. */
const COMPLAINT =
  /BUG: |WARNING: |Oops: |KASAN: |UBSAN: |Call Trace:|cut here|general protection fault|INFO: (rcu|task)|Bad page/;
const COMPLAINTS_MAX = 8;
const LINE_CHARACTERS_MAX = 200;

/** The first lines of a kernel's log that complain. */
export function complaintsIn(log: string): string[] {
  return log
    .split(/\r?\n/)
    .filter((line) => COMPLAINT.test(line))
    .slice(0, COMPLAINTS_MAX)
    .map((line) => line.trim().slice(0, LINE_CHARACTERS_MAX));
}
