package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom writes what is in the programs of a platform, as they say it themselves, in CycloneDX's form.
func (r release) sbom(p platform) error {
	root := cdx.Component{BOMRef: "garage", Type: cdx.ComponentTypeApplication, Name: "garage", Version: r.version,
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Properties: &[]cdx.Property{{Name: "commit", Value: r.commit}, {Name: "platform", Value: p.name}}}
	components := map[string]cdx.Component{}
	needs := map[string][]string{}
	for _, name := range programNames {
		info, err := buildinfo.ReadFile(r.program(p, name))
		if err != nil {
			return err
		}
		program := "program/" + name
		components[program] = cdx.Component{BOMRef: program, Type: cdx.ComponentTypeApplication, Name: name, Version: r.version}
		needs[root.BOMRef] = append(needs[root.BOMRef], program)
		modules := append([]*debug.Module{{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}, &info.Main}, info.Deps...)
		for _, m := range modules {
			c := r.component(m)
			components[c.BOMRef] = c
			needs[program] = append(needs[program], c.BOMRef)
		}
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.date.Format(time.RFC3339), Component: &root}
	var list []cdx.Component
	var dependencies []cdx.Dependency
	for _, ref := range slices.Sorted(maps.Keys(components)) {
		list = append(list, components[ref])
	}
	for _, ref := range slices.Sorted(maps.Keys(needs)) {
		some := slices.Compact(slices.Sorted(slices.Values(needs[ref])))
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &some})
	}
	bom.Components, bom.Dependencies = &list, &dependencies
	return r.write(r.name("-"+p.name+".cdx.json"), func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}

// component is a Go module.
func (r release) component(m *debug.Module) cdx.Component {
	m = built(m)
	version, licences := m.Version, r.licences[m.Path+"@"+m.Version]
	if ours(m) {
		version, licences = r.version, []string{"Apache-2.0"}
	}
	url := fmt.Sprintf("pkg:golang/%s@%s", m.Path, version)
	c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: version, PackageURL: url}
	if len(licences) > 0 {
		c.Licenses = &cdx.Licenses{{Expression: strings.Join(licences, " AND ")}}
	}
	if m.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go.sum", Value: m.Sum}}
	}
	return c
}
