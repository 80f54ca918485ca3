package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	if err := newRoot(os.Stdout, os.Stderr).ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "garage:", err)
		os.Exit(1)
	}
}
