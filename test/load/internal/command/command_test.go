package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"testing"
)

func TestExitStatusAndOutput(t *testing.T) {
	type result struct {
		N int `json:"n"`
	}
	for name, tt := range map[string]struct {
		args   []string
		err    error
		none   bool
		status int
		stdout string
	}{
		"success":                   {[]string{"-n", "3"}, nil, false, 0, "{\"n\":3}\n"},
		"a result beside an error":  {nil, errors.New("broken"), false, 1, "{\"n\":1}\n"},
		"an error without a result": {nil, errors.New("broken"), true, 1, ""},
		"an unknown flag":           {[]string{"-x"}, nil, false, 2, ""},
		"a stray argument":          {[]string{"x"}, nil, false, 2, ""},
		"help":                      {[]string{"-h"}, nil, false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var n int
			var stdout, stderr bytes.Buffer
			status := do(t.Context(), "tool", tt.args,
				func(fs *flag.FlagSet) { fs.IntVar(&n, "n", 1, "a number") },
				func(context.Context) (*result, error) {
					if tt.none {
						return nil, tt.err
					}
					return &result{n}, tt.err
				}, &stdout, &stderr)
			if status != tt.status || stdout.String() != tt.stdout || (status != 0) != (stderr.Len() > 0) && name != "help" {
				t.Errorf("status %d, stdout %q, stderr %q; want %d, %q", status, stdout.String(), stderr.String(), tt.status, tt.stdout)
			}
		})
	}
}
