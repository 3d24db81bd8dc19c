// Package procstat reads what a server under test and all its descendants used of
// the machine, from /proc. Linux only in effect: elsewhere Read returns an error.
package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// userHz is USER_HZ, the unit of times in /proc: 100 per second on every Linux port
// that Go runs on.
const userHz = 100

// maxPIDs bounds a -pid list.
const maxPIDs = 64

// Sample is one reading. CPU times count from the start of the processes, Busy and
// Idle from the start of the machine.
type Sample struct {
	At         time.Time
	User, Sys  time.Duration // of the tree, finished and awaited children included
	RSS        int64         // bytes over the tree; a shared page counts once for each process
	Busy, Idle time.Duration // the whole machine, summed over cores
	Steal      time.Duration // taken by the hypervisor
	Self       time.Duration // this process
}

// CPU is user plus system time of the tree.
func (s Sample) CPU() time.Duration { return s.User + s.Sys }

func ticks(n int64) time.Duration { return time.Duration(n) * time.Second / userHz }

type process struct {
	parent    int
	user, sys int64 // ticks
	rss       int64 // bytes
}

// parseStat reads the text of /proc/PID/stat. The command name in it may hold spaces
// and parentheses, so fields are counted from the last one.
func parseStat(b []byte, pageSize int64) (process, error) {
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 22 {
		return process{}, errors.New("procstat: malformed stat line")
	}
	var err error
	at := func(k int) int64 {
		v, e := strconv.ParseInt(f[k], 10, 64)
		err = errors.Join(err, e)
		return v
	}
	// state(0) ppid(1) .. utime(11) stime(12) cutime(13) cstime(14) .. rss(21)
	p := process{parent: int(at(1)), user: at(11) + at(13), sys: at(12) + at(14), rss: at(21) * pageSize}
	return p, err
}

func read(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	return parseStat(b, int64(os.Getpagesize()))
}

// Tree returns pids and all their descendants, each once.
func Tree(pids []int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("procstat: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		if p, err := read(pid); err == nil { // else it ended meanwhile
			children[p.parent] = append(children[p.parent], pid)
		}
	}
	seen := map[int]bool{}
	var tree []int
	for todo := append([]int(nil), pids...); len(todo) > 0; {
		pid := todo[0]
		todo = todo[1:]
		if !seen[pid] {
			seen[pid] = true
			tree = append(tree, pid)
			todo = append(todo, children[pid]...)
		}
	}
	return tree, nil
}

// Read samples the process trees rooted at pids, and the machine. It fails when one
// of pids does not exist: a server that died must not look like one that is cheap.
func Read(pids []int) (Sample, error) {
	var s Sample
	tree, err := Tree(pids)
	if err != nil {
		return s, err
	}
	for i, pid := range tree {
		p, err := read(pid)
		if err != nil {
			if i < len(pids) {
				return s, fmt.Errorf("procstat: process %d: %w", pid, err)
			}
			continue // a child that ended meanwhile
		}
		s.User += ticks(p.user)
		s.Sys += ticks(p.sys)
		s.RSS += p.rss
	}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return s, fmt.Errorf("procstat: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var v [9]int64 // cpu(0) user nice system idle iowait irq softirq steal
	for i, f := range strings.Fields(line) {
		if i > 0 && i < len(v) {
			if v[i], err = strconv.ParseInt(f, 10, 64); err != nil {
				return s, fmt.Errorf("procstat: /proc/stat: %w", err)
			}
		}
	}
	s.Busy = ticks(v[1] + v[2] + v[3] + v[6] + v[7])
	s.Idle = ticks(v[4] + v[5])
	s.Steal = ticks(v[8])
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return s, fmt.Errorf("procstat: getrusage: %w", err)
	}
	s.Self = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	s.At = time.Now()
	return s, nil
}

// Delta is the difference of two samples; cores are CPU seconds per second.
type Delta struct {
	WallS       float64 `json:"wall_s"`
	ServerCPUS  float64 `json:"server_cpu_s"`
	ServerCores float64 `json:"server_cores"`
	ServerUserS float64 `json:"server_user_s"`
	ServerSysS  float64 `json:"server_sys_s"`
	ServerRSSMB float64 `json:"server_rss_mb"` // MiB, at the end
	ClientCores float64 `json:"client_cores"`
	BusyCores   float64 `json:"machine_busy_cores"`
	IdleCores   float64 `json:"machine_idle_cores"`
	StealCores  float64 `json:"steal_cores"`
}

// Diff computes b minus a; zero when no time passed.
func Diff(a, b Sample) Delta {
	w := b.At.Sub(a.At).Seconds()
	r := func(x float64) float64 { return stats.Round(x, 4) }
	cores := func(from, to time.Duration) float64 { return r((to - from).Seconds() / w) }
	return Delta{
		WallS:       r(w),
		ServerCPUS:  r((b.CPU() - a.CPU()).Seconds()),
		ServerCores: cores(a.CPU(), b.CPU()),
		ServerUserS: r((b.User - a.User).Seconds()),
		ServerSysS:  r((b.Sys - a.Sys).Seconds()),
		ServerRSSMB: r(float64(b.RSS) / (1 << 20)),
		ClientCores: cores(a.Self, b.Self),
		BusyCores:   cores(a.Busy, b.Busy),
		IdleCores:   cores(a.Idle, b.Idle),
		StealCores:  cores(a.Steal, b.Steal),
	}
}

// PIDs is a flag.Value for a comma separated list of process ids.
type PIDs []int

func (p *PIDs) String() string {
	var s []string
	for _, pid := range *p {
		s = append(s, strconv.Itoa(pid))
	}
	return strings.Join(s, ",")
}

// Set implements flag.Value.
func (p *PIDs) Set(s string) error {
	*p = nil
	for f := range strings.SplitSeq(s, ",") {
		f = strings.TrimSpace(f)
		if f == "" {
			continue
		}
		pid, err := strconv.Atoi(f)
		if err != nil || pid <= 0 {
			return fmt.Errorf("procstat: %q is not a process id", f)
		}
		if len(*p) == maxPIDs {
			return fmt.Errorf("procstat: more than %d process ids", maxPIDs)
		}
		*p = append(*p, pid)
	}
	return nil
}
