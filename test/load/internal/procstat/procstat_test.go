package procstat

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " S 7 1 1 0 -1 4194560 1 2 3 4 150 50 10 5 20 0 9 0 100 999 42 18446744073709551615\n"
	for name, tt := range map[string]struct {
		in string
		ok bool
	}{
		"plain name":                  {"12 (sluice)" + tail, true},
		"name with space and bracket": {"12 (a ) (b)" + tail, true},
		"cut short":                   {"12 (sluice) S 7 1", false},
		"no name":                     {"12", false},
		"empty":                       {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseStat([]byte(tt.in), 4096)
			if (err == nil) != tt.ok {
				t.Fatalf("parseStat(%q) = %v, want ok=%t", tt.in, err, tt.ok)
			}
			if want := (process{parent: 7, user: 160, sys: 55, rss: 42 * 4096}); tt.ok && p != want {
				t.Errorf("parseStat(%q) = %+v, want %+v", tt.in, p, want)
			}
		})
	}
}

func TestReadFailsWhenAServerIsGone(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := Read([]int{cmd.Process.Pid}); err == nil {
		t.Error("Read of a process that ended: no error")
	}
}

func TestReadCountsChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // says that it was killed
	})
	tree, err := Tree([]int{os.Getpid()})
	if err != nil || !slices.Contains(tree, cmd.Process.Pid) {
		t.Errorf("Tree = %v, %v, want it to hold child %d", tree, err, cmd.Process.Pid)
	}
	s, err := Read([]int{os.Getpid()})
	if err != nil || s.RSS == 0 || s.Idle+s.Busy == 0 {
		t.Errorf("Read = %+v, %v", s, err)
	}
}

func TestDiff(t *testing.T) {
	at := time.Unix(1700000000, 0)
	a := Sample{At: at, User: time.Second, Busy: 10 * time.Second}
	b := Sample{At: at.Add(10 * time.Second), User: 3 * time.Second, Sys: time.Second, RSS: 5 << 20, Busy: 25 * time.Second}
	d := Diff(a, b)
	if d.ServerCPUS != 3 || d.ServerCores != 0.3 || d.ServerRSSMB != 5 || d.BusyCores != 1.5 {
		t.Errorf("Diff = %+v", d)
	}
	if d := Diff(a, a); d.ServerCores != 0 {
		t.Errorf("Diff over no time = %+v, want no NaN", d)
	}
}

func TestPIDs(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []int
		ok   bool
	}{
		"empty":     {"", nil, true},
		"two":       {"12, 34", []int{12, 34}, true},
		"a word":    {"sluice", nil, false},
		"negative":  {"-1", nil, false},
		"far ahead": {"99999999999999999999", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var p PIDs
			if err := p.Set(tt.in); (err == nil) != tt.ok || tt.ok && !slices.Equal(p, tt.want) {
				t.Errorf("Set(%q) = %v, %v, want %v, ok=%t", tt.in, p, err, tt.want, tt.ok)
			}
		})
	}
}
