// What went wrong, in words for a viewer, and whether trying again can help.

export interface Fault {
  status: number; // HTTP status; 0 when there was no answer
  code: string; // the server's error_code, or ''
  title: string;
  detail: string;
  // wait: the channel is off air, ask again soon. slow: ask again, but less often.
  // stop: nothing changes until the viewer does something.
  then: 'wait' | 'slow' | 'stop';
  retryAfterMs: number; // the server's Retry-After; 0 when it gave none
}

interface Body {
  error: string;
  code: string;
}

// parseBody reads an error body: the playback API answers a JSON array with one
// object, our own endpoints one object. Anything else yields empty strings.
export function parseBody(text: string): Body {
  try {
    let v: unknown = JSON.parse(text);
    if (Array.isArray(v)) v = v[0];
    if (v !== null && typeof v === 'object') {
      const o = v as Record<string, unknown>;
      return { error: str(o['error']), code: str(o['error_code']) };
    }
  } catch {
    // not JSON: a proxy's page, or nothing
  }
  return { error: '', code: '' };
}

function str(v: unknown): string {
  return typeof v === 'string' ? v.slice(0, 300) : '';
}

// playbackFault explains the answer to a request for the channel's playlist.
export function playbackFault(status: number, body = '', retryAfter: string | null = null): Fault {
  const { error, code } = parseBody(body);
  const fault = (title: string, then: Fault['then'], fallback: string): Fault => ({
    status,
    code,
    title,
    detail: sentence(error) || fallback,
    then,
    retryAfterMs: retryAfterMs(retryAfter),
  });
  switch (true) {
    case status === 404:
      return { ...fault('Offline', 'wait', ''), detail: 'Waiting for the broadcast to start.' };
    case status === 401 || status === 403:
      return fault('Not allowed', 'stop', 'This channel needs a valid playback token.');
    case status === 429:
      return fault('Too many viewers', 'slow', 'The channel is full. Trying again shortly.');
    case status >= 500:
      return fault('Server trouble', 'slow', 'The server could not answer. Trying again shortly.');
    case status >= 400:
      return fault('Cannot play', 'stop', 'The server refused the request.');
    default:
      return fault('Connection lost', 'slow', 'The server cannot be reached. Trying again.');
  }
}

function sentence(s: string): string {
  if (s === '') return '';
  const t = s.charAt(0).toUpperCase() + s.slice(1);
  return /[.!?]$/.test(t) ? t : t + '.';
}

function retryAfterMs(header: string | null): number {
  const s = Number(header);
  return header !== null && Number.isFinite(s) && s > 0 ? Math.min(s, 120) * 1000 : 0;
}
