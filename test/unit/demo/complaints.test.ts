import t from 'tap';
import { complaintsIn } from '../../../images/lab/demo/complaints.ts';

t.test('a kernel that is content says nothing that counts', async (t) => {
  const log = [
    '[    0.000000] Linux version 6.12.117-pmsm (gcc 12.2.0) #1 SMP PREEMPT_DYNAMIC',
    '[    0.412345] ata1.00: ATA-7: QEMU HARDDISK, 2.5+, max UDMA/100',
    '[    1.000001] kasan: KernelAddressSanitizer initialized',
    '[   12.345678] PM: hibernation: Creating image:',
    '[   12.345679] Freezing user space processes completed (elapsed 0.002 seconds)',
    '[   14.000000] e1000e 0000:00:03.0 eth0: NIC Link is Up 1000 Mbps Full Duplex',
  ].join('\n');
  t.strictSame(complaintsIn(log), []);
  t.strictSame(complaintsIn(''), []);
});

t.test('what complains is found, on a serial console too', async (t) => {
  for (const line of [
    '[    9.1] WARNING: CPU: 0 PID: 1 at kernel/power/snapshot.c:100 copy_data+0x1/0x2',
    '[    9.1] BUG: sleeping function called from invalid context at mm/slab.h:1',
    '[    9.1] BUG: KASAN: slab-out-of-bounds in memory_bm_test_bit+0x1/0x2',
    '[    9.1] WARNING: possible circular locking dependency detected',
    '[    9.1] UBSAN: array-index-out-of-bounds in kernel/power/live.c:1:2',
    '[    9.1] ------------[ cut here ]------------',
    '[    9.1] Oops: general protection fault, probably for non-canonical address',
    '[    9.1] INFO: rcu_preempt detected stalls on CPUs/tasks:',
    '[    9.1] INFO: task pmsm-freeze:1 blocked for more than 120 seconds.',
    '[    9.1]  Call Trace:',
  ]) {
    t.strictSame(complaintsIn(`before\r\n${line}\r\nafter\r\n`), [line.trim()]);
  }
});

t.test('it stays short', async (t) => {
  const log = `BUG: ${'x'.repeat(9000)}\n`.repeat(1000);
  const found = complaintsIn(log);
  t.equal(found.length, 8);
  t.ok(found.every((line) => line.length === 200));
});
