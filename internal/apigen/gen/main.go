// Command gen writes the generated files of one API package into the working
// directory; go generate runs it.
package main

import (
	"fmt"
	"os"

	"github.com/sluice-live/sluice/internal/apigen"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen MODEL.json")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(model string) error {
	files, err := apigen.Generate(model)
	if err != nil {
		return err
	}
	for name, src := range files {
		if err := os.WriteFile(name, src, 0o644); err != nil {
			return err
		}
	}
	return nil
}
