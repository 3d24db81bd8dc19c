package iam

import "strings"

// A Context holds the condition keys of one request and their values. A child sees
// its parent's keys and adds its own: what is true of a request is written once, what
// is true of each of its resources beside it.
type Context struct {
	parent *Context
	keys   []contextKey
}

type contextKey struct {
	name      string // lower case
	values    []string
	first     [1]string // values of most keys, without an allocation of their own
	ambiguous bool
}

// Child returns an empty Context on top of c.
func (c *Context) Child() *Context { return &Context{parent: c} }

// Set gives the key name, in any case, one value. A second Set of one name makes it
// ambiguous: see the package comment.
func (c *Context) Set(name, v string) {
	if k := c.add(name); k != nil {
		k.first[0] = v
	}
}

// SetAll gives the key name these values; none is the same as not setting it.
func (c *Context) SetAll(name string, values []string) {
	if len(values) == 0 {
		return
	}
	if k := c.add(name); k != nil {
		k.values = values
	}
}

// SetTags gives each tag the key prefix/<tag>, such as aws:ResourceTag/Owner.
func (c *Context) SetTags(prefix string, tags map[string]string) {
	for k, v := range tags {
		c.Set(prefix+"/"+k, v)
	}
}

// add returns a fresh key, or nil when c itself has the name already.
func (c *Context) add(name string) *contextKey {
	name = strings.ToLower(name)
	for i := range c.keys {
		if c.keys[i].name == name {
			c.keys[i].ambiguous = true
			return nil
		}
	}
	c.keys = append(c.keys, contextKey{name: name})
	return &c.keys[len(c.keys)-1]
}

// lookup returns the values of a key given in lower case, or nil.
func (c *Context) lookup(name string) (values []string, ambiguous bool) {
	for ; c != nil; c = c.parent {
		for i := range c.keys {
			k := &c.keys[i]
			if k.name != name {
				continue
			}
			if k.values == nil {
				return k.first[:], k.ambiguous
			}
			return k.values, k.ambiguous
		}
	}
	return nil, false
}
