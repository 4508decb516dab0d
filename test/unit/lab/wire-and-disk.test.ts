/** What tests read of the switch's ports and of the disk's log. */
import t from 'tap';
import { ARP, IPV4, parseFrames, tcpOverIpv4 } from '../../../images/lab/capture.ts';
import { parseChanges } from '../../../images/lab/disk-server.ts';

const MAC = { to: '525400000001', from: '5254000000fe' };

function header(): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(0xa1b23c4d, 0);
  return bytes;
}

function record(seconds: number, nanoseconds: number, frame: Buffer): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(seconds, 0);
  bytes.writeUInt32LE(nanoseconds, 4);
  bytes.writeUInt32LE(frame.length, 8);
  bytes.writeUInt32LE(frame.length, 12);
  return Buffer.concat([bytes, frame]);
}

/** An Ethernet frame with a TCP segment from 10.0.1.1:7071 to 10.0.1.254:50000, or another protocol. */
function segment(protocol = 6): Buffer {
  const ip = Buffer.alloc(20);
  ip[0] = 0x45;
  ip[9] = protocol;
  ip.set([10, 0, 1, 1], 12);
  ip.set([10, 0, 1, 254], 16);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(7071, 0);
  ports.writeUInt16BE(50_000, 2);
  return Buffer.concat([Buffer.from(`${MAC.to}${MAC.from}0800`, 'hex'), ip, ports]);
}

t.test('a capture', async (t) => {
  const arp = Buffer.from(`ffffffffffff${MAC.from}0806`, 'hex');
  const cut = record(3, 0, segment()).subarray(0, 30);
  const file = Buffer.concat([header(), record(1, 5, segment()), record(2, 0, arp), cut]);
  const frames = parseFrames(file);
  t.match(frames, [
    { at_ns: 1_000_000_005n, to: '52:54:00:00:00:01', from: '52:54:00:00:00:fe', type: IPV4 },
    { at_ns: 2_000_000_000n, to: 'ff:ff:ff:ff:ff:ff', type: ARP },
  ]);
  t.equal(frames.length, 2, 'a record that is cut off is left out');
  t.throws(() => parseFrames(Buffer.alloc(24)), { code: 'lab-failed' }, 'another format');
  t.throws(() => parseFrames(Buffer.alloc(3)), { code: 'lab-failed' }, 'no file at all');
});

t.test('whose segment it is', async (t) => {
  const [tcp, udp, short] = parseFrames(
    Buffer.concat([
      header(),
      record(1, 0, segment()),
      record(1, 0, segment(17)),
      record(1, 0, segment().subarray(0, 35)),
    ]),
  );
  t.strictSame(tcp && tcpOverIpv4(tcp), {
    from: '10.0.1.1',
    from_port: 7071,
    to: '10.0.1.254',
    to_port: 50_000,
  });
  t.equal(udp && tcpOverIpv4(udp), undefined, 'not TCP');
  t.equal(short && tcpOverIpv4(short), undefined, 'cut off before its ports');
});

t.test("the disk's log", async (t) => {
  const log = [
    '2026-11-28 17:20:00.000001 connection=1 Connect export="" tls=0 size=0x1000 write=1 ...',
    '2026-11-28 17:20:01.123456 connection=1 Write id=5 offset=0x1000 count=0x200 fua=0 ...',
    '2026-11-28 17:20:01.123999 connection=1 ...Write id=5 return=0',
    '2026-11-28 17:20:01.500000 connection=1 Read id=6 offset=0x0 count=0x200 ...',
    '2026-11-28 17:20:02.000001 connection=1 Flush id=7 ...',
    '2026-11-28 17:20:02.000002 connection=1 Zero id=8 offset=0x2000 count=0x1000 ...',
    '2026-11-28 17:20:02.000003 connection=1 Tri',
  ].join('\n');
  t.strictSame(parseChanges(log), [
    {
      at_ns: BigInt(Date.parse('2026-11-28T17:20:01Z')) * 1_000_000n + 123_456_000n,
      kind: 'Write',
      offset_bytes: 0x1000,
      count_bytes: 0x200,
    },
    {
      at_ns: BigInt(Date.parse('2026-11-28T17:20:02Z')) * 1_000_000n + 2000n,
      kind: 'Zero',
      offset_bytes: 0x2000,
      count_bytes: 0x1000,
    },
  ]);
  t.strictSame(parseChanges(''), []);
});
