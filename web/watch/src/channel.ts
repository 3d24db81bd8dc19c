// Which channel this page shows, and where it plays from.
import { type Fault, parseBody, playbackFault } from './fault';

export interface Channel {
  name: string;
  arn: string; // as the page was asked for: an ARN or a channel id
  playbackUrl: string; // absolute, with the viewer's token
}

// pageRef is the channel's ARN or id: what follows /watch/ in the page's own path.
export function pageRef(pathname: string): string {
  const rest = pathname.replace(/^\/watch\//, '').replace(/\/+$/, '');
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}

// withToken copies ?token= of the page to the playback URL, keeping what is there.
export function withToken(playbackUrl: string, pageUrl: string): string {
  const page = new URL(pageUrl);
  const url = new URL(playbackUrl, page);
  const token = page.searchParams.get('token');
  if (token !== null) url.searchParams.set('token', token);
  return url.href;
}

// lookUp asks our server for the channel. It never throws: it returns a Fault.
export async function lookUp(page: Location, signal: AbortSignal): Promise<Channel | Fault> {
  const ref = pageRef(page.pathname);
  let status = 0;
  let body = '';
  try {
    const res = await fetch(`/watch/${encodeURIComponent(ref)}/info.json`, { signal, cache: 'no-store' });
    status = res.status;
    body = await res.text();
    if (res.ok) {
      const v = JSON.parse(body) as { name?: unknown; playbackUrl?: unknown };
      if (typeof v.playbackUrl !== 'string') throw new Error('no playbackUrl');
      return {
        name: typeof v.name === 'string' ? v.name : '',
        arn: ref,
        playbackUrl: withToken(v.playbackUrl, page.href),
      };
    }
  } catch {
    return playbackFault(0);
  }
  const fault = playbackFault(status, body);
  if (status === 404) {
    return {
      ...fault,
      title: 'No such channel',
      detail: parseBody(body).error || 'Check the address of this page.',
      then: 'stop',
    };
  }
  return fault;
}
