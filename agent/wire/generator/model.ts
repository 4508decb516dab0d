// Reads the three YAML files, checks them, and works out what the writers need: offsets and sizes.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';

const HEADER_BYTES = 32;
const SCALAR_BYTES = { u8: 1, u16: 2, u32: 4, u64: 8 } as const;

// The texts go into comments and strings of C and TypeScript and into Markdown tables.
const text = z
  .string()
  .regex(/^[\x20-\x7e]+$/, 'must be one line of printable ASCII')
  .refine((value) => !/\/\*|\*\//.test(value), 'must not hold a comment mark');
const wireName = z.string().regex(/^[a-z][a-z0-9_]*$/, 'must be lower_snake_case');
const dashedName = z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be lower-dashed');
const positive = z.number().int().positive();
const number16 = z.number().int().min(1).max(0xffff);

const fieldSchema = z
  .strictObject({
    name: wireName,
    type: z.enum(['u8', 'u16', 'u32', 'u64', 'bytes']),
    size: positive.max(64).optional(),
    count: positive.max(64).optional(),
    enum: wireName.optional(),
    doc: text,
  })
  .refine((field) => (field.type === 'bytes') === (field.size !== undefined), {
    message: 'size goes with type bytes, and only with it',
  })
  .refine((field) => field.count === undefined || field.type === 'u64', {
    message: 'count goes with type u64 only',
  })
  .refine((field) => field.enum === undefined || field.type === 'u8', {
    message: 'an enum is stored as u8',
  });

const tailSchema = z.strictObject({
  name: wireName,
  type: z.enum(['text', 'blob']),
  max: positive,
  doc: text,
});

const messageSchema = z.strictObject({
  name: wireName,
  type: number16,
  link: z.enum(['any', 'control', 'stream']),
  from: z.array(z.enum(['orchestrator', 'source', 'standby', 'resumed'])).min(1),
  doc: text,
  fields: z.array(fieldSchema),
  tail: tailSchema.optional(),
});

const enumSchema = z.strictObject({
  doc: text,
  values: z.record(wireName, z.number().int().min(0).max(255)),
});

const wireSchema = z.strictObject({
  version: number16,
  magic: z.number().int().min(1).max(0xffffffff),
  header: z.array(fieldSchema),
  limits: z.record(wireName, positive.max(0xffffffff)),
  enums: z.record(wireName, enumSchema),
  messages: z.array(messageSchema).min(1),
});

const side = z.enum(['orchestrator', 'source', 'target']);
const owner = z.enum(['source', 'target', 'in-doubt']);

const phaseSchema = z.strictObject({
  name: dashedName,
  number: number16,
  side,
  owner,
  timeout_ms: positive,
  fault: z.string().regex(/^F[0-9]{2}$/),
  does: text,
  undo: text,
});

const stepSchema = z.strictObject({
  name: dashedName,
  number: number16,
  parent: dashedName,
  side,
  does: text,
});

const phasesSchema = z.strictObject({ phases: z.array(z.union([phaseSchema, stepSchema])).min(1) });

const errorSchema = z.strictObject({
  code: dashedName,
  number: number16,
  http: z.number().int().min(200).max(599),
  exit: z.number().int().min(1).max(7),
  owner,
  title: text,
  remedy: text,
});

const errorsSchema = z.strictObject({ errors: z.array(errorSchema).min(1) });

type RawField = z.infer<typeof fieldSchema>;
export type Tail = z.infer<typeof tailSchema>;
export type Phase = z.infer<typeof phaseSchema>;
export type Step = z.infer<typeof stepSchema>;
export type CatalogueError = z.infer<typeof errorSchema>;

export interface Field extends RawField {
  offset: number;
  bytes: number;
}

export interface Message {
  name: string;
  type: number;
  link: 'any' | 'control' | 'stream';
  from: string[];
  doc: string;
  fields: Field[];
  tail: Tail | undefined;
  fixed_bytes: number;
  max_payload_bytes: number;
}

export interface EnumValue {
  name: string;
  value: number;
}

export interface WireEnum {
  name: string;
  doc: string;
  values: EnumValue[];
}

export interface Model {
  version: number;
  magic: number;
  header: Field[];
  header_bytes: number;
  limits: EnumValue[];
  enums: WireEnum[];
  messages: Message[];
  phases: Phase[];
  steps: Step[];
  errors: CatalogueError[];
}

/** Reads and checks the YAML files of `folder`. Throws an Error that names the file and the fault. */
export function loadModel(folder: string): Model {
  return buildModel(
    readYaml(folder, 'wire.yaml'),
    readYaml(folder, 'phases.yaml'),
    readYaml(folder, 'errors.yaml'),
  );
}

/** The same from parsed documents; apart from loadModel so that tests can feed it faults. */
export function buildModel(wireDocument: unknown, phases: unknown, errors: unknown): Model {
  const wire = check('wire.yaml', wireSchema, wireDocument);
  const table = check('phases.yaml', phasesSchema, phases).phases;
  const catalogue = check('errors.yaml', errorsSchema, errors).errors;
  const header = layOut('header', wire.header);
  const model: Model = {
    version: wire.version,
    magic: wire.magic,
    header,
    header_bytes: sumBytes(header),
    limits: entries(wire.limits),
    enums: Object.entries(wire.enums).map(([name, { doc, values }]) => ({
      name,
      doc,
      values: entries(values),
    })),
    messages: wire.messages.map(buildMessage),
    phases: table.filter((row): row is Phase => !('parent' in row)),
    steps: table.filter((row): row is Step => 'parent' in row),
    errors: catalogue,
  };
  checkWire(model);
  checkPhases(model);
  checkErrors(model);
  return model;
}

/** A field that carries nothing: encoded as zero, must be zero when decoded. */
export function isReserved(field: Field): boolean {
  return field.name === 'reserved';
}

function readYaml(folder: string, file: string): unknown {
  return parse(readFileSync(join(folder, file), 'utf8'));
}

function check<T>(file: string, schema: z.ZodType<T>, document: unknown): T {
  const result = schema.safeParse(document);
  if (!result.success) {
    throw new Error(`${file}: ${z.prettifyError(result.error)}`);
  }
  return result.data;
}

function entries(record: Record<string, number>): EnumValue[] {
  return Object.entries(record).map(([name, value]) => ({ name, value }));
}

function fieldBytes(field: RawField): number {
  return field.type === 'bytes' ? (field.size ?? 0) : SCALAR_BYTES[field.type] * (field.count ?? 1);
}

// Natural alignment is demanded though the structs are packed: it keeps readers free of split loads.
function layOut(where: string, fields: RawField[]): Field[] {
  let offset = 0;
  return fields.map((field) => {
    const bytes = fieldBytes(field);
    const align = field.type === 'bytes' ? 1 : SCALAR_BYTES[field.type];
    if (offset % align !== 0) {
      throw new Error(`wire.yaml: ${where}.${field.name} is not aligned: offset ${offset}`);
    }
    const placed = { ...field, offset, bytes };
    offset += bytes;
    return placed;
  });
}

function sumBytes(fields: Field[]): number {
  return fields.reduce((sum, field) => sum + field.bytes, 0);
}

function buildMessage(raw: z.infer<typeof messageSchema>): Message {
  const fields = layOut(raw.name, raw.fields);
  const fixed = sumBytes(fields);
  return {
    name: raw.name,
    type: raw.type,
    link: raw.link,
    from: raw.from,
    doc: raw.doc,
    fields,
    tail: raw.tail,
    fixed_bytes: fixed,
    max_payload_bytes: fixed + (raw.tail?.max ?? 0),
  };
}

function unique(file: string, what: string, values: (string | number)[]): void {
  const seen = new Set<string | number>();
  for (const value of values) {
    if (seen.has(value)) {
      throw new Error(`${file}: ${what} ${value} is used twice`);
    }
    seen.add(value);
  }
}

function checkWire(model: Model): void {
  const file = 'wire.yaml';
  if (model.header_bytes !== HEADER_BYTES) {
    throw new Error(`${file}: the header has ${model.header_bytes} bytes, not ${HEADER_BYTES}`);
  }
  unique(
    file,
    'message name',
    model.messages.map((message) => message.name),
  );
  unique(
    file,
    'message number',
    model.messages.map((message) => message.type),
  );
  const enums = new Set(model.enums.map((entry) => entry.name));
  for (const entry of model.enums) {
    unique(
      file,
      `value of enum ${entry.name}`,
      entry.values.map(({ value }) => value),
    );
  }
  for (const message of model.messages) {
    checkMessage(message, enums);
    checkControlSize(model, message);
  }
}

function checkMessage(message: Message, enums: Set<string>): void {
  const where = `wire.yaml: message ${message.name}`;
  const names = [...message.fields.map((field) => field.name), message.tail?.name ?? ''];
  unique('wire.yaml', `field of ${message.name}`, names);
  if (names.includes('type')) {
    throw new Error(`${where}: a field must not be called type, the decoded message has one`);
  }
  for (const field of message.fields) {
    if (field.enum !== undefined && !enums.has(field.enum)) {
      throw new Error(`${where}: there is no enum ${field.enum}`);
    }
  }
  if (message.max_payload_bytes === 0) {
    throw new Error(`${where} is empty; give it a field or a tail`);
  }
}

// A control link never needs a larger buffer than its limit says.
function checkControlSize(model: Model, message: Message): void {
  const limit = model.limits.find(({ name }) => name === 'control_payload_bytes')?.value ?? 0;
  if (message.link !== 'stream' && message.max_payload_bytes > limit) {
    throw new Error(
      `wire.yaml: message ${message.name} is larger than control_payload_bytes, ${limit}`,
    );
  }
}

function checkPhases(model: Model): void {
  const file = 'phases.yaml';
  const rows = [...model.phases, ...model.steps];
  unique(
    file,
    'name',
    rows.map((row) => row.name),
  );
  unique(
    file,
    'number',
    rows.map((row) => row.number),
  );
  unique(
    file,
    'fault',
    model.phases.map((phase) => phase.fault),
  );
  const names = new Set(model.phases.map((phase) => phase.name));
  for (const step of model.steps) {
    if (!names.has(step.parent)) {
      throw new Error(`${file}: step ${step.name} names the parent ${step.parent}, which is none`);
    }
  }
}

function checkErrors(model: Model): void {
  const file = 'errors.yaml';
  unique(
    file,
    'code',
    model.errors.map((error) => error.code),
  );
  unique(
    file,
    'number',
    model.errors.map((error) => error.number),
  );
}
