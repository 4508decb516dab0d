/** What a lab can be made of: the options that `npm run lab`, the demo and the tests share. */
import { z } from 'zod';

export const NICS = ['e1000e', 'virtio'] as const;
export const DISKS = ['ahci', 'nvme', 'virtio'] as const;
/** `hardened` and `debug` are builds of the patched kernel for tests (kernel-patches/6.12/config). */
export const KERNELS = ['patched', 'hardened', 'debug', 'stock'] as const;
/** Of Debian's stable release, whatever this machine has (lab/emulator.ts). */
export const EMULATORS = ['installed', 'stable'] as const;
export const DATABASES = ['mysql', 'mariadb'] as const;

export const labOptionsSchema = z.strictObject({
  memory_mib: z.int().min(512).max(65536).default(2048),
  cpus: z.int().min(1).max(16).default(1),
  nic: z.enum(NICS).default('e1000e'),
  disk: z.enum(DISKS).default('ahci'),
  kernel: z.enum(KERNELS).default('patched'),
  /** What a standby boots, if not the same: two builds can move a machine between them (engine delta). */
  standby_kernel: z.enum(KERNELS).optional(),
  /** A standby's kernel uses so much, and keeps the rest for images of the engine delta; all of it if not given. */
  standby_memory_mib: z.int().min(96).max(65536).optional(),
  emulator: z.enum(EMULATORS).default('installed'),
  database: z.enum(DATABASES).default('mysql'),
  /** Further Debian packages on the host; the names that Debian's policy allows. */
  packages: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, 'is not the name of a Debian package'))
    .max(64)
    .default([]),
  single_nic: z.boolean().default(false),
});

export type LabOptions = z.infer<typeof labOptionsSchema>;
export type LabOptionsInput = z.input<typeof labOptionsSchema>;
