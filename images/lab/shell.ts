/** ssh into a machine of the lab, with the lab's own keys and nothing of the user's configuration. */
import { resolve } from 'node:path';
import { KNOWN_HOSTS, USER_KEY } from '../keys.ts';

export function sshCommand(keysDirectory: string, address: string, terminal = false): string[] {
  const options = {
    IdentityFile: resolve(keysDirectory, USER_KEY),
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: resolve(keysDirectory, KNOWN_HOSTS),
    // The key was made for the lab: an address that shows another one is not the lab's machine.
    StrictHostKeyChecking: 'yes',
    HostKeyAlias: 'pmsm-host',
    BatchMode: 'yes',
    ConnectTimeout: '15',
    ServerAliveInterval: '15',
    LogLevel: 'ERROR',
  };
  const pairs = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return ['ssh', '-F', 'none', ...(terminal ? ['-t'] : []), ...pairs, `root@${address}`];
}
