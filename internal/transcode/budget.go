package transcode

import "sync"

// Cost is what it takes to encode r, in pixels per second.
func (r *Rung) Cost() float64 {
	if r.Video == 0 {
		return 0
	}
	return float64(r.Width) * float64(r.Height) * max(r.FrameRate, 1)
}

// A Budget is what a machine can encode at once, in pixels per second, shared by its
// streams. Its methods may be called from anywhere.
type Budget struct {
	mu   sync.Mutex
	most float64 // 0 for no limit
	used float64 // guarded by mu
}

// NewBudget returns one of most pixels per second; 0 means no limit.
func NewBudget(most float64) *Budget { return &Budget{most: most} }

// Admit takes from b what rungs need. Where that is too much it gives up the top
// transcoded rung, then the next: Video of those becomes 0 in what it returns, and dropped
// tells which they are. release gives back what was taken, once.
func (b *Budget) Admit(rungs []Rung) (admitted []bool, release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	admitted = make([]bool, len(rungs))
	sum := 0.0
	for i := range rungs {
		admitted[i] = true
		sum += rungs[i].Cost()
	}
	for i := range rungs { // the best first
		if b.most == 0 || b.used+sum <= b.most {
			break
		}
		if c := rungs[i].Cost(); c > 0 {
			admitted[i] = false
			sum -= c
		}
	}
	b.used += sum
	return admitted, sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.used -= sum
	})
}

// Used is what is taken, in pixels per second.
func (b *Budget) Used() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
