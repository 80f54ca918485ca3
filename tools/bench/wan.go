package main

import (
	"context"
	"errors"
	"fmt"

	"deuxfleurs.fr/garage/tools/systemtest/wan"
)

// measureWAN prints what requests take over links of 100 ms, in round trips.
func measureWAN(ctx context.Context, dir string) (err error) {
	c, err := wan.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	results, err := wan.Measure(ctx, c)
	for _, r := range results {
		fmt.Println(r)
	}
	return err
}
