# serve.sh BIN DIR PORT [INITDB OPTION...]: see serve in pgtest.go. Started with sh -eu.
bin=$1 dir=$2 port=$3
shift 3
trap 'rm -rf "$dir"' EXIT
cd "$dir"
"$bin/initdb" --pgdata="$dir/data" --username=sluice --pwfile="$dir/password" \
	--auth=scram-sha-256 --encoding=UTF8 --no-sync --no-instructions "$@" >"$dir/log"
"$bin/pg_ctl" --pgdata="$dir/data" --log="$dir/log" --silent --wait --timeout=60 --options="\
	-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$dir' \
	-c max_connections=200 -c shared_buffers=32MB \
	-c fsync=off -c synchronous_commit=off -c full_page_writes=off" start </dev/null || {
	cat "$dir/log" >&2
	exit 1
}
echo ready
cat >/dev/null || true
"$bin/pg_ctl" --pgdata="$dir/data" --silent --wait --mode=immediate stop
