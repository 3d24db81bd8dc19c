// Set by build.mjs: the path of the demuxer's worker script.
declare const HLS_WORKER: string;
