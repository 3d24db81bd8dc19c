// The watch page: looks the channel up, plays it, shows how it goes.
import { lookUp, pageRef } from './channel';
import { Player, type Stats } from './player';
import { View } from './view';

declare global {
  interface Window {
    // For tests and for a curious viewer's console.
    sluice: { readonly hls: Player['hls']; readonly video: HTMLVideoElement; stats(): Stats };
  }
}

const view = new View();
const player = new Player(view.video, (s) => view.show(s));

window.sluice = {
  get hls() {
    return player.hls;
  },
  video: view.video,
  stats: () => player.stats(),
};

let found = false;

async function begin(): Promise<void> {
  if (found) {
    player.retry();
    return;
  }
  const answer = await lookUp(location, AbortSignal.timeout(10_000));
  if ('then' in answer) {
    player.fail(answer, () => void begin());
    return;
  }
  found = true;
  view.channel(answer);
  player.start(answer.playbackUrl);
}

view.channel({ name: '', arn: pageRef(location.pathname) });
view.connect(player, () => void begin());
void begin();
