package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/deploy"
)

// installPart installs what the stacked parts run on.
const installPart = "stack-install"

// part is a named share of the tests.
type part struct {
	name, about string
	limit       time.Duration
	// quick parts need no network and no program but Go.
	quick bool
	steps []step
}

// step is one command. A step with tests is a "go test -json", whose tests are counted; another counts as one test.
type step struct {
	dir   string
	env   []string
	argv  []string
	tests bool
	// every adds all packages of dir to argv, but those that end as except says.
	every  bool
	except []string
	// unchanged names files, by pattern below dir, that the command must leave as they were.
	unchanged string
}

func goTest(dir string, args ...string) step {
	return step{dir: dir, argv: append([]string{"go", "test", "-json"}, args...), tests: true}
}

// suite is a package of tools/systemtest on a deployment.
func suite(pkg, deployment string, limit time.Duration, extra ...string) step {
	args := []string{"-count=1", "-timeout", limit.String(), "./systemtest/" + pkg, "-args", "-deployment", deployment}
	return goTest("tools", append(args, extra...)...)
}

// race runs the packages of a module under the race detector, but those that hold nothing but pure computation.
func race(dir string, except ...string) step {
	s := goTest(dir, "-race", "-short", "-timeout", "20m")
	s.every, s.except = true, except
	return s
}

// onStack runs a step with parts of tools/stack, which are started for it and removed after it. The tests that need them
// have the build tag stack.
func onStack(s step, options ...string) step {
	s.argv = slices.Concat([]string{"../var/test/bin/stack", "run"}, options, []string{"--"}, s.argv)
	return s
}

func stackTest(dir string, args ...string) step {
	return goTest(dir, append([]string{"-count=1", "-tags", "stack"}, args...)...)
}

// stacked tells whether the part needs what the part stack-install installs.
func (p part) stacked() bool {
	return slices.ContainsFunc(p.steps, func(s step) bool {
		return slices.ContainsFunc(s.argv, func(arg string) bool {
			return arg == "stack" || arg == deploy.Cluster || arg == "./systemtest/people" || strings.HasSuffix(arg, "bin/stack")
		})
	})
}

// programs tells whether the part needs the programs that the part build makes.
func (p part) programs() bool {
	return p.stacked() || slices.ContainsFunc(p.steps, func(s step) bool { return slices.Contains(s.argv, "-deployment") })
}

func command(argv ...string) step { return step{dir: ".", argv: argv} }

func parts() []part {
	generated := command("make", "gen")
	generated.unchanged = "proto"
	strict := suite("s3", "standalone", 5*time.Minute, "-strict", "-test.run", "Region|Object|Presigned")
	strict.env = []string{"GARAGE_S3_STRICT_REGION=true"}
	packaging := goTest("tools/package", "-count=1", "./...")
	packaging.env = []string{"GOWORK=off"} // it is a module of its own
	return []part{
		{"lint", "formatting and rules of the code", 25 * time.Minute, false, []step{command("make", "lint")}},
		{"generated", "generated code is what its sources say", 15 * time.Minute, false, []step{generated}},
		{"unit", "tests beside the code, fuzz seeds, properties, conformance", 20 * time.Minute, true, []step{
			goTest("proto", "./..."), goTest("pkg", "./..."), goTest("services", "./..."),
			goTest("tools", "./sigv4/...", "./s3client/...", "./deploy/...", "./testrun/...", "./bench/...", "./clients", "./systemtest/load/...", "./stack/...", "./cluster/..."),
		}},
		{"race", "the same under the race detector", 45 * time.Minute, false, []step{
			command("go", "run", "./tools/clients/install", "--compiler"),
			race("pkg", "pkg/layout"), race("services", "chunk-node/simulation"),
		}},
		{"build", "the programs for the suites below", 10 * time.Minute, false, []step{
			command("go", "build", "-tags", deploy.Tags, "-o", "var/test/bin/", "./services/cmd/...", "./tools/stack"),
		}},
		{"s3-standalone", "S3 behaviour in one process", 6 * time.Minute, false, []step{suite("s3", "standalone", 5*time.Minute)}},
		{"s3-strict", "S3 behaviour in strict region mode", 6 * time.Minute, false, []step{strict}},
		{"s3-nodes", "S3 behaviour on separate processes", 6 * time.Minute, false, []step{suite("s3", "nodes", 5*time.Minute)}},
		{"model-standalone", "random operations against a model, in one process", 10 * time.Minute, false, []step{suite("model", "standalone", 9*time.Minute)}},
		{"model-nodes", "random operations against a model, on separate processes", 10 * time.Minute, false, []step{suite("model", "nodes", 9*time.Minute)}},
		{"crash-standalone", "SIGKILL under load, one process", 10 * time.Minute, false, []step{suite("crash", "standalone", 9*time.Minute)}},
		{"crash-nodes", "SIGKILL under load, separate processes", 10 * time.Minute, false, []step{suite("crash", "nodes", 9*time.Minute)}},
		{"faults", "single processes killed, paused, corrupted", 12 * time.Minute, false, []step{suite("faults", "nodes", 11*time.Minute)}},
		{"collection", "what nothing refers to goes, on both deployments", 10 * time.Minute, false, []step{
			suite("collection", "standalone", 5*time.Minute), suite("collection", "nodes", 5*time.Minute),
		}},
		{"restore", "metadata destroyed and restored from a snapshot, on both deployments", 8 * time.Minute, false, []step{
			suite("restore", "standalone", 4*time.Minute), suite("restore", "nodes", 4*time.Minute),
		}},
		{"migrate", "a standalone that moves into separate processes while it serves", 8 * time.Minute, false, []step{suite("migrate", "nodes", 7*time.Minute)}},
		{"operator", "make run, data folder, administration, certificates, settings", 15 * time.Minute, false, []step{
			suite("operator", "standalone", 14*time.Minute),
		}},
		{"alerts", "the alert rules, with figures that make them fire and others that do not", 10 * time.Minute, false, []step{
			goTest("tools", "-count=1", "-timeout", "9m", "./systemtest/alerts"),
		}},
		{"metrics", "metrics, dashboard, traces and access log of real processes, on both deployments", 12 * time.Minute, false, []step{
			suite("metrics", "standalone", 5*time.Minute), suite("metrics", "nodes", 5*time.Minute),
		}},
		{"console-standalone", "the operator's console in a browser: sign-in, objects, keyboard, narrow screens, axe", 12 * time.Minute, false, []step{
			suite("console", "standalone", 11*time.Minute, "-test.run", "Token|Keyboard|Object|EveryPage"),
		}},
		{"console-nodes", "the operator's console on separate processes: nodes that stop, damage, work", 15 * time.Minute, false, []step{
			suite("console", "nodes", 14*time.Minute),
		}},
		{"clients-standalone", "real clients on real files, one process", 25 * time.Minute, false, []step{suite("clients", "standalone", 24*time.Minute)}},
		{"clients-nodes", "real clients on real files, separate processes", 25 * time.Minute, false, []step{suite("clients", "nodes", 24*time.Minute)}},
		{"readme", "every command of the README, word for word", 10 * time.Minute, false, []step{suite("readme", "standalone", 9*time.Minute)}},
		{installPart, "the parts that Garage runs on: databases, Consul, Nomad, Traefik, LDAP", 45 * time.Minute, false, []step{
			command("var/test/bin/stack", "install"),
		}},
		{"consul", "registration, discovery, layout and certificates with a real Consul", 18 * time.Minute, false, []step{
			// One package after the other: the names of services are the same in all.
			onStack(stackTest("pkg", "-p", "1", "-timeout", "5m", "./consul/...", "./layout/kv/...", "./rpc/..."), "consul"),
			onStack(stackTest("services", "-timeout", "12m", "./cmd/garage"), "consul"),
		}},
		{"ldap", "people and groups in a real LDAP server", 5 * time.Minute, false, []step{
			onStack(stackTest("pkg", "-timeout", "4m", "./identity/..."), "ldap"),
		}},
		{"people-nodes", "who LDAP knows, over S3, on separate processes", 6 * time.Minute, false, []step{suite("people", "nodes", 5*time.Minute)}},
		{"cql", "the metadata store on a real Cassandra", 15 * time.Minute, false, []step{
			onStack(stackTest("services", "-timeout", "14m", "./metadata", "./metadata/cql/..."), "cassandra"),
		}},
		{"cql-three", "the metadata store on three nodes that fail, its history checked", 12 * time.Minute, false, []step{
			onStack(stackTest("tools", "-timeout", "11m", "./systemtest/cql/..."), "cassandra", "--cql-nodes", "3"),
		}},
		{"consul-cluster", "separate processes that find each other through a Consul that fails; a standalone that moves onto Cassandra", 14 * time.Minute, false, []step{
			onStack(stackTest("tools", "-p", "1", "-timeout", "11m", "./systemtest/consul/...", "./systemtest/migrate"), "consul", "cassandra"),
		}},
		{"console-cluster", "the operator's console with a real Consul: layouts staged and applied, a node that stops", 10 * time.Minute, false, []step{
			onStack(stackTest("tools", "-timeout", "9m", "-run", "Layout", "./systemtest/console"), "consul"),
		}},
		{"stack", "starting and stopping the real parts", 10 * time.Minute, false, []step{
			stackTest("tools", "-timeout", "9m", "./stack", "./stack/parts", "./stack/process"),
		}},
		{"links", "networks of sites with slow, lossy and cut links", 3 * time.Minute, false, []step{
			stackTest("tools", "-timeout", "2m", "./stack/links"),
		}},
		{"wan", "round trips of requests over links of 100 ms", 7 * time.Minute, false, []step{
			stackTest("tools", "-timeout", "6m", "./systemtest/wan"),
		}},
		{"heal", "nodes, disks and sites that come, go and fail under load: all copies are there again", 12 * time.Minute, false, []step{
			stackTest("tools", "-timeout", "11m", "-parallel", "4", "./systemtest/heal"),
		}},
		{"s3-cluster", "S3 behaviour on Nomad, Consul, Cassandra, LDAP and Traefik", 8 * time.Minute, false, []step{suite("s3", "cluster", 7*time.Minute)}},
		{"model-cluster", "random operations against a model, on the same", 10 * time.Minute, false, []step{suite("model", "cluster", 9*time.Minute)}},
		{"crash-cluster", "SIGKILL under load, on the same", 10 * time.Minute, false, []step{suite("crash", "cluster", 9*time.Minute, "-rounds", "2")}},
		{"cluster", "updates, kills and slow clients of a whole cluster", 15 * time.Minute, false, []step{suite("cluster", "cluster", 14*time.Minute, "-test.parallel", "8")}},
		{"people-cluster", "who LDAP knows, over S3, on the same", 8 * time.Minute, false, []step{suite("people", "cluster", 7*time.Minute)}},
		{"clients-cluster", "real clients on real files, on the same", 25 * time.Minute, false, []step{suite("clients", "cluster", 24*time.Minute)}},
		{"packages", "archives, Debian packages and an image for every platform: the same each time, installed, run, upgraded, removed", 30 * time.Minute, false, []step{
			packaging, goTest("tools", "-count=1", "-timeout", "28m", "./systemtest/packages"),
		}},
	}
}

// choose returns the parts asked for, in their order, with what they need.
func choose(all []part, names []string, quick bool) ([]part, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(all), func(p part) bool { return quick && !p.quick }), nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		found := false
		for _, p := range all {
			if p.name == name || strings.HasPrefix(p.name, name+"-") {
				wanted[p.name], found = true, true
				wanted["build"] = wanted["build"] || p.programs()
				wanted[installPart] = wanted[installPart] || p.stacked()
			}
		}
		if !found {
			return nil, fmt.Errorf("no part is called %q: see --list", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p part) bool { return !wanted[p.name] }), nil
}
