package main

import "os"

func main() { os.Exit(execute(newRoot(os.Stdout, os.Stderr), os.Args[1:])) }
