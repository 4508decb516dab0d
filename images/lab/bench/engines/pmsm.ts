/** Ours, as any user would order them. */
import { throughOrchestrator } from '../../demo/one-move.ts';
import type { BenchEngine } from './engine.ts';

const ours = (what: string): BenchEngine => ({
  what,
  keeps: 'machine',
  prepare: async () => undefined,
  move: (scene) => throughOrchestrator(scene, 'node1', 'node2', () => undefined),
});

export const full = ours('the whole image while the machine stands still');
export const delta = ours('memory ahead, the rest while the machine stands still');
