/** Where a command speaks. */
export class Console {
  readonly json: boolean;
  readonly stderr = process.stderr;

  constructor(json: boolean) {
    this.json = json;
  }

  data(value: unknown): void {
    process.stdout.write(`${JSON.stringify(value)}\n`);
  }

  text(text: string): void {
    process.stdout.write(text);
  }

  talk(line: string): void {
    process.stderr.write(`${line}\n`);
  }
}
