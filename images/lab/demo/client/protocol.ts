/**
 * What the demo and its client process say to each other: one JSON document a line, orders on the
 * client's standard input, events on its standard output.
 */
import { z } from 'zod';
import { MAX_ERRORS } from '../report/schema.ts';

export const ClientConfigSchema = z.object({
  host: z.string(),
  port: z.number().int(),
  user: z.string(),
  password: z.string(),
  database: z.string(),
  record_path: z.string(),
  max_rows: z.number().int().positive(),
  query_timeout_ms: z.number().int().min(1000),
  /** A client of a service that is restarted: it connects anew until it may, instead of telling of an error. */
  reconnect: z.boolean().default(false),
});

export const OrderSchema = z.object({ order: z.enum(['check', 'resume', 'stop']) });

const nanoseconds = z.string().regex(/^\d+$/).transform(BigInt);

export const CheckSchema = z.object({
  event: z.literal('checked'),
  committed: z.number().int(),
  lost: z.number().int(),
  connection_survived: z.boolean(),
  rows_agree: z.boolean(),
  errors: z.array(z.string()).max(MAX_ERRORS),
});

export const EventSchema = z.discriminatedUnion('event', [
  /** Connected (or resumed) and about to insert. */
  z.object({
    event: z.literal('inserting'),
    connection_id: z.number().int(),
    opened_ns: nanoseconds,
  }),
  z.object({ event: z.literal('failed'), message: z.string() }),
  CheckSchema,
]);

export type ClientConfigInput = z.input<typeof ClientConfigSchema>;
export type ClientConfig = z.infer<typeof ClientConfigSchema>;
export type Order = z.infer<typeof OrderSchema>['order'];
export type ClientEvent = z.infer<typeof EventSchema>;
export type Check = z.infer<typeof CheckSchema>;
