import t from 'tap';
import { chooseVersion, seriesFiles } from '../../../images/kernel.ts';
import { closure, moduleName, parseDependencies } from '../../../images/kernel-stock.ts';

t.test('the pinned version wins over a newer one', async (t) => {
  const offered = ['6.12.118-1', '6.12.117-1', '6.12.117-1~deb12u1', '6.12.107-1'];
  t.equal(chooseVersion(offered, '6.12.117-1'), '6.12.117-1');
  t.equal(chooseVersion(['6.12.118-1', '6.12.117-1~deb12u1'], '6.12.117-1'), '6.12.117-1~deb12u1');
});

t.test('without the pinned one the newest of the series is taken', async (t) => {
  t.equal(chooseVersion(['6.13.2-1', '6.12.119-1', '6.12.118-1'], '6.12.117-1'), '6.12.119-1');
  t.equal(chooseVersion(['6.12.117-10'], '6.12.117-1'), '6.12.117-10', 'another one, but the only');
  t.throws(() => chooseVersion(['6.13.2-1'], '6.12.117-1'), { code: 'build-failed' });
});

t.test('the kernel is made of what the series names, in its order', async (t) => {
  const files = seriesFiles().map(({ file }) => file);
  t.ok(files.length > 0);
  t.same(files, [...files].sort(), 'numbered as they are applied');
  t.notOk(files.some((file) => file.includes('cover-letter')));
});

t.test('modules come with everything that they need', async (t) => {
  const table = parseDependencies(
    [
      'kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz kernel/drivers/ata/libata.ko.xz',
      'kernel/drivers/ata/libahci.ko.xz: kernel/drivers/ata/libata.ko.xz',
      'kernel/drivers/ata/libata.ko.xz:',
      'kernel/net/8021q/8021q.ko.xz:',
      'kernel/drivers/net/virtio-net.ko.xz:',
      '',
    ].join('\n'),
  );
  t.same(closure(['ahci'], table), [
    'kernel/drivers/ata/ahci.ko.xz',
    'kernel/drivers/ata/libahci.ko.xz',
    'kernel/drivers/ata/libata.ko.xz',
  ]);
  t.same(closure(['virtio_net'], table), ['kernel/drivers/net/virtio-net.ko.xz']);
  t.same(closure(['virtio-net', '8021q'], table).length, 2);
  t.same(closure(['absent'], table), []);
  t.equal(moduleName('a/crc32c-generic.ko.xz'), 'crc32c_generic');
});
