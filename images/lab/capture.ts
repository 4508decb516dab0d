/** What a machine sends over a port of the switch, as tcpdump sees it: for tests that look at the wire itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { PmsmError } from '../../agent/wire/errors.ts';
import { end, identify } from '../processes.ts';
import type { Lab, MachineName } from './lab.ts';
import { type Network, tapName } from './switch.ts';

/** Headers of all layers that are looked at. */
const SNAP_BYTES = 128;
const START_LIMIT_MS = 15_000;
/** What is on its way from the kernel to the file when the capture ends. */
const DRAIN_MS = 300;
const NANOSECOND_MAGIC = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const ETHERNET_BYTES = 14;

export interface Frame {
  /** Wall time. */
  readonly at_ns: bigint;
  readonly from: string;
  readonly to: string;
  /** EtherType: 0x0800 IPv4, 0x0806 ARP, 0x86dd IPv6. */
  readonly type: number;
  /** What follows the Ethernet header, cut off. */
  readonly payload: Buffer;
}

export class Capture {
  readonly #child: ChildProcess;
  readonly #file: string;

  private constructor(child: ChildProcess, file: string) {
    this.#child = child;
    this.#file = file;
  }

  /** Resolves once nothing is missed any more. */
  static async start(lab: Lab, machine: MachineName, network: Network): Promise<Capture> {
    const tap = tapName(machine, network);
    const file = resolve(lab.runDir, `${tap}.pcap`);
    // Each frame at once: what a full buffer holds is not there yet when the test looks.
    const timing = ['--time-stamp-precision=nano', '--immediate-mode', '--packet-buffered'];
    const user = process.getuid?.() === 0 ? ['-Z', 'root'] : [];
    // What comes in at the tap's end is what the machine has sent.
    const argv = [
      'tcpdump',
      '-i',
      tap,
      '-Q',
      'in',
      '-n',
      '-s',
      String(SNAP_BYTES),
      ...timing,
      ...user,
    ];
    const [program, ...args] = lab.inside([...argv, '-w', file]);
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    const listening = new Promise<boolean>((done) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-2000);
        if (said.includes('listening on')) done(true);
      });
      child.once('error', () => done(false));
      child.once('close', () => done(false));
      setTimeout(() => done(false), START_LIMIT_MS).unref();
    });
    if (await listening) return new Capture(child, file);
    throw new PmsmError('lab-failed', `tcpdump on ${tap}: ${said.trim()}`);
  }

  /** Nobody wants to know any more. */
  drop(): void {
    this.#child.kill('SIGKILL');
  }

  /** Everything that was seen, oldest first. */
  async stop(): Promise<Frame[]> {
    await new Promise((done) => setTimeout(done, DRAIN_MS));
    const id = this.#child.pid === undefined ? undefined : identify(this.#child.pid);
    if (id) await end(id, 'SIGINT');
    return parseFrames(readFileSync(this.#file));
  }
}

/** The format of libpcap's files, with nanoseconds, as this machine writes them; a cut last record is left out. */
export function parseFrames(file: Buffer): Frame[] {
  if (file.length < FILE_HEADER_BYTES || file.readUInt32LE(0) !== NANOSECOND_MAGIC) {
    throw new PmsmError('lab-failed', 'not a capture with nanoseconds');
  }
  const frames: Frame[] = [];
  for (let at = FILE_HEADER_BYTES; at + RECORD_HEADER_BYTES <= file.length; ) {
    const at_ns =
      BigInt(file.readUInt32LE(at)) * 1_000_000_000n + BigInt(file.readUInt32LE(at + 4));
    const begin = at + RECORD_HEADER_BYTES;
    const bytes = file.subarray(begin, begin + file.readUInt32LE(at + 8));
    at = begin + file.readUInt32LE(at + 8);
    if (at > file.length || bytes.length < ETHERNET_BYTES) continue;
    frames.push({
      at_ns,
      to: macText(bytes.subarray(0, 6)),
      from: macText(bytes.subarray(6, 12)),
      type: bytes.readUInt16BE(12),
      payload: bytes.subarray(ETHERNET_BYTES),
    });
  }
  return frames;
}

function macText(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export const IPV4 = 0x0800;
export const ARP = 0x0806;
const TCP = 6;

/** The addresses of an IPv4 frame that carries TCP; undefined for anything else. */
export function tcpOverIpv4(
  frame: Frame,
): { from: string; from_port: number; to: string; to_port: number } | undefined {
  const { type, payload } = frame;
  if (type !== IPV4 || payload.length < 20 || payload[9] !== TCP) return undefined;
  const header_bytes = ((payload[0] ?? 0) & 15) * 4;
  if (payload.length < header_bytes + 4) return undefined;
  return {
    from: [...payload.subarray(12, 16)].join('.'),
    to: [...payload.subarray(16, 20)].join('.'),
    from_port: payload.readUInt16BE(header_bytes),
    to_port: payload.readUInt16BE(header_bytes + 2),
  };
}
