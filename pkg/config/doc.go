// Package config fills a typed struct from, in rising order, the defaults it already holds, a YAML
// file (--config), the environment (GARAGE_…) and flags.
//
// Each field carries its name and help text as tags; nested structs make sections:
//
//	type Config struct {
//		Data  string `conf:"data" help:"folder that holds everything"`
//		S3    struct {
//			Listen string        `conf:"listen" help:"address of the S3 server"`
//			Idle   time.Duration `conf:"idle-timeout" help:"closes connections idle this long" min:"1s"`
//		} `conf:"s3"`
//		Memory config.Size `conf:"memory" help:"memory for bodies" min:"16MiB"`
//		Mode   string      `conf:"mode" help:"what to do" allowed:"fast,safe"`
//		Secret string      `conf:"secret" help:"…" secret:"true"`
//	}
//
// The field S3.Idle is s3.idle-timeout in the file (s3: {idle-timeout: 5s}), GARAGE_S3_IDLE_TIMEOUT in
// the environment and --s3-idle-timeout as a flag; a tag flag:"…" gives another flag. A secret has no flag, since command lines are
// public on a machine, and its value never appears in an error.
//
// Kinds of field: string, bool, integers, floats, time.Duration (units required), [Size], anything
// with encoding.TextUnmarshaler, and slices of these (a YAML list, or commas elsewhere). A struct may
// have Validate() error for what tags cannot say; use [Invalid] there.
//
// Invariants: an unknown key of the file and an unknown flag are errors; every error names the
// setting, where its value came from and what is allowed. An unknown GARAGE_ variable is not an error
// (several programs share an environment) but is listed by [Loader.UnknownEnv] so that it can be said.
//
// Start reading at [New] and [Loader.Load].
package config
