import { PassThrough } from 'node:stream';
import t from 'tap';
import { bytesText, seconds, textProgress } from '../../../images/progress.ts';

function stream(tty: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const sink = new PassThrough();
  let text = '';
  sink.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  Object.assign(sink, { isTTY: tty, columns: 40 });
  return { stream: sink as unknown as NodeJS.WriteStream, text: () => text };
}

const pause = (duration_ms: number): Promise<void> =>
  new Promise((done) => setTimeout(done, duration_ms));

t.test('a terminal gets one live line, no longer than it is wide', async (t) => {
  const { stream: terminal, text } = stream(true);
  await textProgress(terminal).step('Working', async (step) => {
    step.fraction(0.5);
    step.detail('a detail that is much longer than the terminal is wide');
    await pause(500);
  });
  t.match(text(), 'Working: 50 %');
  const lines = text()
    .split('\r')
    .map((line) => line.replace('\u001b[K', ''));
  t.ok(lines.every((line) => line.length < 40));
  t.notMatch(text(), '\n', 'a short step leaves no line behind');
});

t.test('elsewhere a failure is a line of its own', async (t) => {
  const { stream: file, text } = stream(false);
  await t.rejects(
    textProgress(file).step('Failing', async () => {
      throw new Error('no');
    }),
  );
  t.match(text(), /^! Failing: 0\.\d s\n$/);
});

t.test('times and sizes as people say them', async (t) => {
  t.equal(seconds(1234), '1.2 s');
  t.equal(seconds(59_700), '1 min 0 s');
  t.equal(seconds(754_000), '12 min 34 s');
  t.equal(bytesText(12 * 1024 ** 2), '12.0 MiB');
  t.equal(bytesText(3 * 1024 ** 3), '3.0 GiB');
});
