/** Colours of the report, light and dark. The picture carries them itself, so it can stand alone. */

export const TIMELINE_STYLE = `
.tl { --ink: #1c2430; --soft: #5d6b7e; --line: #e3e8ef; --paper: #ffffff; --shade: #f59e0b;
  --source: #2f6fed; --source-soft: #a9c4fb; --target: #0b9a84; --target-soft: #93d8cc;
  --orchestrator: #8146e0; --orchestrator-soft: #cdb5f5; --client: #d9770a; --on: #ffffff;
  font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
@media (prefers-color-scheme: dark) {
.tl { --ink: #e8edf4; --soft: #97a5b8; --line: #283242; --paper: #141b26; --shade: #f8b84a;
  --source: #5b91ff; --source-soft: #2c4f9c; --target: #2bc2aa; --target-soft: #14665a;
  --orchestrator: #a984f5; --orchestrator-soft: #573b94; --client: #f6a53c; --on: #0d131c; } }
.tl .paper { fill: var(--paper); }
.tl text { fill: var(--ink); }
.tl .soft { fill: var(--soft); font-size: 11px; }
.tl .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.tl .lane { font-weight: 600; font-size: 13px; }
.tl .grid { stroke: var(--line); stroke-width: 1; }
.tl .rule { stroke: var(--line); stroke-width: 1; }
.tl .shade { fill: var(--shade); opacity: 0.09; }
.tl .edge { stroke: var(--shade); stroke-width: 1; stroke-dasharray: 3 3; opacity: 0.8; }
.tl .window { fill: var(--client); font-weight: 600; }
.tl .in { fill: var(--on); font-weight: 600; pointer-events: none; }
.tl .pole { stroke: var(--soft); stroke-width: 0.75; opacity: 0.7; }
.tl .flag { font-size: 11px; }
.tl .source { fill: var(--source); } .tl .source.step { fill: var(--source-soft); }
.tl .target { fill: var(--target); } .tl .target.step { fill: var(--target-soft); }
.tl .orchestrator { fill: var(--orchestrator); }
.tl .orchestrator.step { fill: var(--orchestrator-soft); }
.tl .cut { stroke: var(--paper); stroke-width: 1; }
.tl .dot { fill: var(--client); }
.tl .wait { stroke: var(--client); stroke-width: 1.5; opacity: 0.55; stroke-linecap: round; }
.tl .gap { stroke: var(--client); stroke-width: 2; }
.tl .big { fill: var(--client); font-weight: 700; font-size: 15px; }
`.trim();
