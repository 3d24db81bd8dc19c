package edge

import (
	"container/list"
	"sync"
	"time"
)

// A cache keeps objects by what was asked for. Those that are whole are kept up to a
// number of bytes, the ones that were asked for last; those on their way are bounded by
// who fetches them.
type cache struct {
	limit int64 // bytes

	mu      sync.Mutex // guards the fields below
	objects map[string]*object
	order   *list.List // of *object, those that are whole; the one asked for last in front
	size    int64      // bytes of those
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, objects: map[string]*object{}, order: list.New()}
}

// get returns the object of a key. fetch means that it is new: the caller must fetch it
// and tell settle. coming means that somebody else does that.
func (c *cache) get(key string, now time.Time) (o *object, fetch, coming bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.objects[key]; o != nil {
		ok, coming := o.good(now)
		if ok {
			if o.place != nil {
				c.order.MoveToFront(o.place)
			}
			return o, false, coming
		}
		c.drop(o)
	}
	o = &object{key: key}
	c.objects[key] = o
	return o, true, false
}

// have returns the object of a key if it is whole and good.
func (c *cache) have(key string, now time.Time) *object {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objects[key]
	if o == nil || o.place == nil {
		return nil
	}
	if ok, coming := o.good(now); !ok || coming {
		return nil
	}
	c.order.MoveToFront(o.place)
	return o
}

// settle takes note that an object is over: it is kept if it is whole.
func (c *cache) settle(o *object) {
	size, whole := o.result()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects[o.key] != o {
		return
	}
	if !whole {
		c.drop(o)
		return
	}
	o.held = size + overhead
	o.place = c.order.PushFront(o)
	c.size += int64(o.held)
	for c.size > c.limit {
		c.drop(c.order.Back().Value.(*object))
	}
}

// overhead is about what an object takes beside its bytes.
const overhead = 512

// drop forgets an object, with mu held. Who has it keeps it.
func (c *cache) drop(o *object) {
	delete(c.objects, o.key)
	if o.place != nil {
		c.order.Remove(o.place)
		c.size -= int64(o.held)
		o.place = nil
	}
}

// bytes is how much is kept.
func (c *cache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// sweep forgets what is too old for anybody. A playlist is good for seconds, and most are
// never asked for again.
func (c *cache) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := c.order.Back(); at != nil; {
		o, next := at.Value.(*object), at.Prev()
		if ok, _ := o.good(now); !ok {
			c.drop(o)
		}
		at = next
	}
}

// result is the size of an object that is over, and whether it is whole.
func (o *object) result() (size int, whole bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size, o.err == nil
}
