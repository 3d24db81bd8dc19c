package pace

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSleep(t *testing.T) {
	for name, tt := range map[string]struct {
		limit, want time.Duration
		whole       bool
	}{
		"as long as asked":   {time.Hour, time.Minute, true},
		"until the ctx ends": {time.Second, time.Second, false},
		"not after it ended": {0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
				defer cancel()
				start := time.Now()
				if got := Sleep(ctx, time.Minute); got != tt.whole || time.Since(start) != tt.want {
					t.Errorf("Sleep = %t after %v, want %t after %v", got, time.Since(start), tt.whole, tt.want)
				}
			})
		})
	}
}
