/** The style of report.html. Colours follow the reader's choice of light or dark. */

export const PAGE_STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6b7e; --line: #e3e8ef; --paper: #ffffff;
  --ground: #f2f5f9; --good: #0b8a5c; --bad: #cf2e3c; --bad-soft: #fdecee; --client: #c96a04;
  --source: #2f6fed; --target: #0b9a84; --orchestrator: #8146e0; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e8edf4; --soft: #97a5b8; --line: #283242; --paper: #141b26; --ground: #0b1018;
  --good: #35c98d; --bad: #ff6b76; --bad-soft: #361a20; --client: #f6a53c; --source: #5b91ff;
  --target: #2bc2aa; --orchestrator: #a984f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.45;
  font: 15px/1.45 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 60px; }
header { padding: 0 4px 18px; }
h1 { margin: 0; font-size: clamp(24px, 4.2vw, 38px); line-height: 1.15; letter-spacing: -0.02em; }
h2 { display: inline; font-size: 19px; } h2 .soft { font-weight: 400; font-size: 15px; }
h3 { font-size: 13px; margin: 26px 0 8px; color: var(--soft); font-weight: 600; }
p { margin: 6px 0 0; }
.brand { margin: 0 0 6px; font-weight: 700; letter-spacing: 0.04em; color: var(--soft); }
.soft { color: var(--soft); }
h1.good::before, h1.bad::before { content: ''; display: inline-block; width: 0.5em; height: 0.5em;
  border-radius: 50%; margin-right: 0.35em; vertical-align: 0.09em; background: var(--good); }
h1.bad::before { background: var(--bad); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 14px;
  padding: 22px; margin: 0 0 18px; }
summary { cursor: pointer; } details[open] summary { margin-bottom: 18px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 14px 26px;
  align-items: end; padding-bottom: 18px; }
.figure b { display: block; font-size: 26px; line-height: 1.1; font-variant-numeric: tabular-nums;
  letter-spacing: -0.01em; }
.figure.big b { font-size: 54px; letter-spacing: -0.03em; color: var(--client); }
.figure.none b { font-size: 18px; font-weight: 400; color: var(--soft); }
.figure span { color: var(--soft); font-size: 13px; }
.picture { margin: 0 -22px; padding: 4px 8px; border-block: 1px solid var(--line); }
.picture svg { display: block; width: 100%; height: auto; }
.picture.narrow { display: none; }
.columns { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 0 44px; }
.checks { list-style: none; margin: 0; padding: 0; }
.checks li { padding: 5px 0; display: flex; gap: 10px; }
.mark { display: inline-block; width: 20px; height: 20px; line-height: 20px; border-radius: 50%;
  text-align: center; font-size: 12px; font-weight: 700; color: var(--paper); flex: none;
  background: var(--good); }
.mark.bad { background: var(--bad); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 400; } thead th { color: var(--soft); font-size: 12px; }
td, th { padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child > * { border-bottom: 0; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.pairs th { color: var(--soft); width: 44%; }
.phases td:nth-child(n + 3), .phases th:nth-child(n + 3) { text-align: right; padding-right: 0;
  white-space: nowrap; padding-left: 12px; }
.phases td:nth-child(2) { color: var(--soft); }
.phases .step th { padding-left: 22px; } .phases .step { color: var(--soft); font-size: 13px; }
.phases i { display: inline-block; width: 9px; height: 9px; border-radius: 3px; margin-right: 9px; }
.phases .step i { width: 7px; height: 7px; border-radius: 50%; }
i.source { background: var(--source); } i.target { background: var(--target); }
i.orchestrator { background: var(--orchestrator); }
.problem { background: var(--bad-soft); border-radius: 10px; padding: 10px 16px; margin-bottom: 18px; }
.problem p { margin: 0; } .problem ul { margin: 6px 0 2px; padding-left: 20px; }
.problem li { overflow-wrap: anywhere; }
.moves { list-style: none; margin: 0; padding: 0; }
.moves li { display: grid; grid-template-columns: 2em 1fr 5em 28px; gap: 10px; align-items: center;
  padding: 4px 0; }
.moves a { color: inherit; } .moves .number { text-align: right; font-variant-numeric: tabular-nums; }
.track { background: var(--ground); border-radius: 5px; height: 14px; overflow: hidden; }
.fill { display: block; height: 100%; background: var(--client); border-radius: 5px; }
.fill.bad { background: var(--bad); }
@media (max-width: 720px) {
  main { padding: 18px 10px 40px; } .card { padding: 16px; }
  .picture { margin: 0 -16px; padding: 4px 0; }
  .picture.wide { display: none; } .picture.narrow { display: block; }
  .columns { grid-template-columns: minmax(0, 1fr); }
  .figures { grid-template-columns: 1fr 1fr; gap: 14px; align-items: start; }
  .phases td:nth-child(2), .phases th:nth-child(2) { display: none; }
  .figure.big { grid-column: 1 / -1; }
}
@media print { body { background: none; } .card { border: 0; } }
`.trim();
