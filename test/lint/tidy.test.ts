/** Style as a test: what a reviewer would otherwise have to say again and again. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, resolve } from 'node:path';
import t from 'tap';
import ts from 'typescript';

const ROOT = resolve(import.meta.dirname, '../..');
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
const LINE_COLUMNS_MAX = 120;
const FILE_BYTES_MAX = 512 * 1024;

/** Functions that may be longer, each with its reason. */
const LONG_FUNCTIONS: Record<string, string> = {
  'kernel-patches/test/snapshot-test.c:static void test_hostile(void)': 'a list of cases',
  'test/native/network_test.c:static void test_quarantine(void)': 'one course of events',
  'orchestrator/api/migrations.ts:migrationsApi': 'a list of routes',
};

const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: ROOT })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && existsSync(resolve(ROOT, file)));

const generated = (file: string): boolean =>
  /\.gen\.(ts|h)$|\/vectors\/|package-lock\.json$/.test(file);
const text = (file: string): string => readFileSync(resolve(ROOT, file), 'utf8');
const handwritten = files.filter((file) => !generated(file));
const code = handwritten.filter((file) => /\.(ts|mjs|c|h)$/.test(file));

t.test('no binary and no large file is committed', async (t) => {
  for (const file of files) {
    const bytes = readFileSync(resolve(ROOT, file));
    // The report picture of the README is the one kind of binary that may be here.
    const picture = /^docs\/.*\.(png|svg)$/.test(file);
    if (!picture && bytes.includes(0)) t.fail(`${file} is binary`);
    if (bytes.length > FILE_BYTES_MAX) t.fail(`${file} has ${bytes.length} bytes`);
  }
  t.ok(files.length > 50, 'there are files to look at');
});

t.test('source files are short', async (t) => {
  for (const file of code) {
    const lines = text(file).split('\n').length - 1;
    if (lines > FILE_LINES_MAX) t.fail(`${file} has ${lines} lines, more than ${FILE_LINES_MAX}`);
  }
  t.ok(code.length > 30, 'there is code to look at');
});

t.test('functions are short', async (t) => {
  let seen = 0;
  const judge = (file: string, name: string, lines: number): void => {
    seen += 1;
    if (lines > FUNCTION_LINES_MAX && !(`${file}:${name}` in LONG_FUNCTIONS)) {
      t.fail(`${file}: ${name} has ${lines} lines, more than ${FUNCTION_LINES_MAX}`);
    }
  };
  for (const file of code.filter((name) => name.endsWith('.ts'))) typescriptFunctions(file, judge);
  for (const file of code.filter((name) => name.endsWith('.c'))) cFunctions(file, judge);
  t.ok(seen > 200, `${seen} functions were measured`);
});

type Judge = (file: string, name: string, lines: number) => void;

function typescriptFunctions(file: string, judge: Judge): void {
  const source = ts.createSourceFile(file, text(file), ts.ScriptTarget.Latest, true);
  const isTest = /\.test\.ts$/.test(file);
  const visit = (node: ts.Node): void => {
    // A test's body is a list of cases, not a function in the sense of the rule.
    const inline = ts.isArrowFunction(node) && isTest && ts.isCallExpression(node.parent);
    if (!inline && ts.isFunctionLike(node) && 'body' in node && node.body) {
      const line = (position: number): number =>
        source.getLineAndCharacterOfPosition(position).line;
      const name = node.name?.getText(source) ?? `line ${line(node.getStart(source)) + 1}`;
      judge(file, name, line(node.end) - line(node.getStart(source)) + 1);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

/** In kernel style a function's body starts with `{` and ends with `}` in the first column. */
function cFunctions(file: string, judge: Judge): void {
  const lines = text(file).split('\n');
  let start = -1;
  lines.forEach((line, index) => {
    if (line === '{') start = index;
    else if (line === '}' && start >= 0) {
      judge(file, lines[start - 1]?.trim() ?? '?', index - start + 1);
      start = -1;
    }
  });
}

t.test('lines are short', async (t) => {
  const offenders: string[] = [];
  for (const file of code) {
    text(file)
      .split('\n')
      .forEach((line, index) => {
        const columns = line.replaceAll('\t', '        ').length;
        if (columns > LINE_COLUMNS_MAX)
          offenders.push(`${file}:${index + 1} has ${columns} columns`);
      });
  }
  t.same(offenders, []);
});

t.test('nothing is left unfinished', async (t) => {
  // Put together so that this file does not find itself.
  const words = ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'];
  const pattern = new RegExp(`\\b(${words.join('|')})\\b`);
  const offenders: string[] = [];
  const switchedOff = new RegExp(`t\\.(${'sk'}ip|${'to'}do)\\(|\\.only\\(`);
  for (const file of handwritten.filter((name) => !name.endsWith('.png'))) {
    text(file)
      .split('\n')
      .forEach((line, index) => {
        if (pattern.test(line)) offenders.push(`${file}:${index + 1} ${line.trim()}`);
        if (/\.test\.ts$/.test(file) && switchedOff.test(line)) {
          offenders.push(`${file}:${index + 1} switches a test off`);
        }
      });
  }
  t.same(offenders, []);
});

t.test('nothing names this machine or a package registry', async (t) => {
  const foreign = [ROOT, homedir(), ...registryHosts()].filter((name) => name.length > 5);
  for (const file of files.filter((name) => !name.endsWith('.png'))) {
    const content = text(file);
    for (const name of foreign) {
      if (content.includes(name)) t.fail(`${file} names a path or host of this machine`);
    }
  }
  t.notMatch(text('package-lock.json'), /"resolved"/, 'the lock file holds no download address');
});

t.test('the lock file names every package that npm ci asks for', async (t) => {
  interface Locked {
    dependencies?: Record<string, string>;
    optionalDependencies?: Record<string, string>;
  }
  const { packages } = JSON.parse(text('package-lock.json')) as {
    packages: Record<string, Locked>;
  };
  const names = new Set(Object.keys(packages).map((path) => path.split('node_modules/').pop()));
  for (const [path, locked] of Object.entries(packages)) {
    const wanted = Object.keys({ ...locked.dependencies, ...locked.optionalDependencies });
    for (const name of wanted) if (!names.has(name)) t.fail(`${path} wants ${name}`);
  }
  t.ok(names.size > 100, 'there are packages to look at');
});

/** Found at run time, so that no file needs to name them. */
function registryHosts(): string[] {
  const commands: [string, string[]][] = [
    ['npm', ['config', 'get', 'registry']],
    ['apt-get', ['indextargets', '--format', '$(SITE)']],
  ];
  const hosts = new Set<string>();
  for (const [command, args] of commands) {
    const output = execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
    for (const line of output.split('\n').filter((part) => URL.canParse(part))) {
      hosts.add(new URL(line).hostname);
    }
  }
  return [...hosts];
}

t.test('every page has a title and its links lead somewhere', async (t) => {
  for (const file of handwritten.filter((name) => name.endsWith('.md'))) {
    const content = text(file);
    t.match(content, /^# \S/, `${file} starts with a title`);
    for (const [, link] of content.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (link === undefined || /^[a-z]+:/.test(link)) continue;
      t.ok(existsSync(resolve(ROOT, dirname(file), link)), `${file}: ${link} exists`);
    }
  }
});
