//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice/test/load/internal/stats"
)

// noisy is how many cores others may use before a figure is marked.
const noisy = 0.35

// table is every value of every run, in the order in which titles first came.
type table struct{ rows []*row }

type row struct {
	Title    string               `json:"title"`
	Unit     string               `json:"unit,omitempty"`
	Values   map[string][]float64 `json:"values"` // by system
	Noise    map[string][]float64 `json:"noise_cores"`
	decimals int
}

func (t *table) add(system string, vs []value) {
	for _, v := range vs {
		i := slices.IndexFunc(t.rows, func(r *row) bool { return r.Title == v.title })
		if i < 0 {
			i = len(t.rows)
			t.rows = append(t.rows, &row{Title: v.title, Unit: v.unit, Values: map[string][]float64{}, Noise: map[string][]float64{}, decimals: v.decimals})
		}
		r := t.rows[i]
		r.Values[system] = append(r.Values[system], stats.Round(v.x, 6))
		r.Noise[system] = append(r.Noise[system], stats.Round(v.noise, 3))
	}
}

// write prints the table as Markdown: medians, their spread, and the ratio of the
// first system to each other one.
func (t *table) write(w io.Writer, caption string, systems []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| measure | unit |", caption)
	for i, s := range systems {
		fmt.Fprintf(&b, " %s |", s)
		if i > 0 {
			fmt.Fprintf(&b, " %s / %s |", systems[0], s)
		}
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", 2*len(systems)-1) + "\n")
	marked := false
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s |", r.Title, r.Unit)
		for i, s := range systems {
			text, mark := r.cell(s)
			marked = marked || mark
			fmt.Fprintf(&b, " %s |", text)
			if i > 0 {
				fmt.Fprintf(&b, " %s |", r.ratio(systems[0], s))
			}
		}
		b.WriteString("\n")
	}
	if marked {
		fmt.Fprintf(&b, "\n~ others used more than %v cores of the machine in a run.\n", noisy)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell is the median, and the least and most where they differ from it.
func (r *row) cell(system string) (text string, mark bool) {
	vs := r.Values[system]
	if len(vs) == 0 {
		return "–", false
	}
	f := func(x float64) string { return strconv.FormatFloat(x, 'f', r.decimals, 64) }
	mid, low, high := f(stats.Median(vs)), f(slices.Min(vs)), f(slices.Max(vs))
	if low != high {
		mid += " (" + low + "–" + high + ")"
	}
	if slices.Max(r.Noise[system]) > noisy {
		return mid + " ~", true
	}
	return mid, false
}

// ratio of medians; none where it would say nothing.
func (r *row) ratio(ours, theirs string) string {
	a, b := stats.Median(r.Values[ours]), stats.Median(r.Values[theirs])
	if r.Unit == "" || len(r.Values[ours]) == 0 || b <= 0 {
		return "–"
	}
	if x := a / b; x < 0.1 {
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
	return strconv.FormatFloat(a/b, 'f', 2, 64)
}

// save writes every value as JSON.
func (t *table) save(path string) error {
	b, err := json.MarshalIndent(t.rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
