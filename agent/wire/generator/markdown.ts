// Writes the generated tables of docs/protocol.md, between their marks.

import type { Field, Message, Model } from './model.ts';

/** Returns `document` with the tables of the model put between the marks. */
export function fillMarkdown(document: string, model: Model): string {
  const tables: Record<string, string> = {
    messages: messageTables(model),
    limits: limitTable(model),
    phases: phaseTables(model),
    errors: errorTable(model),
  };
  return Object.entries(tables).reduce((text, [name, table]) => fill(text, name, table), document);
}

function fill(document: string, name: string, table: string): string {
  const begin = `<!-- generated-begin ${name}: npm run generate -->`;
  const end = `<!-- generated-end ${name} -->`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) {
    throw new Error(`docs/protocol.md: the marks "${begin}" and "${end}" are missing`);
  }
  const head = document.slice(0, from + begin.length);
  return `${head}\n\n${table}\n\n${document.slice(to)}`;
}

function messageTables(model: Model): string {
  const overview = table(
    ['number', 'message', 'link', 'from', 'payload bytes', 'meaning'],
    model.messages.map((message) => [
      String(message.type),
      `[\`${message.name}\`](#${message.name})`,
      message.link,
      message.from.length === 4 ? 'any' : message.from.join(', '),
      sizes(message),
      message.doc,
    ]),
  );
  return [overview, enumTables(model), ...model.messages.map(messageTable)].join('\n\n');
}

function sizes(message: Message): string {
  const { fixed_bytes, max_payload_bytes } = message;
  return message.tail === undefined ? `${fixed_bytes}` : `${fixed_bytes} to ${max_payload_bytes}`;
}

function enumTables(model: Model): string {
  const rows = model.enums.map((entry) => [
    `\`${entry.name}\``,
    entry.values.map(({ name, value }) => `${value} \`${name}\``).join(', '),
    entry.doc,
  ]);
  return table(['enum', 'values', 'meaning'], rows);
}

function messageTable(message: Message): string {
  const fixed = message.fields.map((field) => [
    String(field.offset),
    `\`${field.name}\``,
    fieldType(field),
    field.doc,
  ]);
  const tail = message.tail;
  const last =
    tail === undefined
      ? []
      : [
          [
            String(message.fixed_bytes),
            `\`${tail.name}\``,
            `${tail.type}, 0 to ${tail.max} bytes`,
            tail.doc,
          ],
        ];
  return [
    `#### ${message.name}`,
    `Number ${message.type}. ${capital(message.doc)}.`,
    table(['offset', 'field', 'type', 'meaning'], [...fixed, ...last]),
  ].join('\n\n');
}

function fieldType(field: Field): string {
  if (field.enum !== undefined) {
    return `u8, enum ${field.enum}`;
  }
  if (field.type === 'bytes') {
    return `${field.bytes} bytes`;
  }
  return field.count === undefined ? field.type : `${field.count} x ${field.type}`;
}

function limitTable(model: Model): string {
  return table(
    ['limit', 'value'],
    model.limits.map(({ name, value }) => [`\`${name}\``, String(value)]),
  );
}

function phaseTables(model: Model): string {
  const phases = table(
    ['number', 'phase', 'side', 'owner', 'limit ms', 'fault', 'does', 'undo'],
    model.phases.map((phase) => [
      String(phase.number),
      `\`${phase.name}\``,
      phase.side,
      phase.owner,
      String(phase.timeout_ms),
      phase.fault,
      phase.does,
      phase.undo,
    ]),
  );
  const steps = table(
    ['number', 'step', 'inside', 'side', 'does'],
    model.steps.map((step) => [
      String(step.number),
      `\`${step.name}\``,
      step.parent,
      step.side,
      step.does,
    ]),
  );
  return `${phases}\n\nSteps, timed inside a phase where a helper or a patched kernel can:\n\n${steps}`;
}

function errorTable(model: Model): string {
  return table(
    ['number', 'code', 'HTTP', 'exit', 'owner', 'title', 'remedy'],
    model.errors.map((error) => [
      String(error.number),
      `<a id="error-${error.code}"></a>\`${error.code}\``,
      String(error.http),
      String(error.exit),
      error.owner,
      error.title,
      error.remedy,
    ]),
  );
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
