package apigen

import (
	"fmt"
	"strconv"
)

// A correction is one place where a model contradicts the service it describes. The
// files in api/ stay as they were published; what is wrong in them is listed here.
type correction struct {
	service string
	name    string // of a shape, or of an operation
	field   string // pattern, max or readonly
	was, is string
	why     string
}

// corrections is the whole list. A correction whose was is no longer in the model
// fails the generation: the model changed, and the correction wants another look.
var corrections = []correction{
	{
		"ivs", "ResourceArn", "pattern",
		"arn:aws:ivs:[a-z0-9-]+:[0-9]+:[a-z-]/[a-zA-Z0-9-]+", "arn:aws:ivs:[a-z0-9-]+:[0-9]+:[a-z-]+/[a-zA-Z0-9-]+",
		"allows one character before the slash, so that no real ARN passes; the service takes them (low-latency.md 1.3)",
	},
	{
		"ivschat", "ResourceArn", "pattern",
		"arn:aws:ivschat:[a-z0-9-]+:[0-9]+:[a-z-]/[a-zA-Z0-9-]+", "arn:aws:ivschat:[a-z0-9-]+:[0-9]+:[a-z-]+/[a-zA-Z0-9-]+",
		"the same slip (chat.md 1.2)",
	},
	{
		"ivs", "PlaybackRestrictionPolicyAllowedOrigin", "max", "128", "256",
		"the service's quotas allow 256 characters (low-latency.md 6, 12)",
	},
	{
		"ivs", "StartViewerSessionRevocation", "readonly", "true", "false",
		"it revokes sessions; the mark would exempt it from what guards writes",
	},
	{"ivs", "BatchStartViewerSessionRevocation", "readonly", "true", "false", "as above"},
	{"ivschat", "GetLoggingConfiguration", "readonly", "false", "true", "the model of ivschat marks no operation"},
	{"ivschat", "GetRoom", "readonly", "false", "true", "as above"},
	{"ivschat", "ListLoggingConfigurations", "readonly", "false", "true", "as above"},
	{"ivschat", "ListRooms", "readonly", "false", "true", "as above"},
	{"ivschat", "ListTagsForResource", "readonly", "false", "true", "as above"},
}

func (c correction) apply(m *Model) error {
	switch c.field {
	case "pattern":
		s := m.Shapes[c.name]
		if s == nil || s.Pattern != c.was {
			return fmt.Errorf("the pattern of %s is not %q any more", c.name, c.was)
		}
		s.Pattern = c.is
	case "max":
		s := m.Shapes[c.name]
		if s == nil || s.Max == nil || strconv.FormatInt(*s.Max, 10) != c.was {
			return fmt.Errorf("the max of %s is not %s any more", c.name, c.was)
		}
		n, err := strconv.ParseInt(c.is, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		s.Max = &n
	case "readonly":
		op := m.Operations[c.name]
		if op == nil || fmt.Sprint(op.ReadOnly) != c.was {
			return fmt.Errorf("readonly of %s is not %s any more", c.name, c.was)
		}
		op.ReadOnly = c.is == "true"
	default:
		return fmt.Errorf("%s: no way to correct %s", c.name, c.field)
	}
	return nil
}
