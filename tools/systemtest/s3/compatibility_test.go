package s3

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

var update = flag.Bool("update", false, "write the table of the handbook again")

// compatibilityPage is the page of the handbook that this test writes.
const compatibilityPage = "nomad/handbook/s3-compatibility.md"

// proofs are, for each operation that the gateway has, the tests of this package that prove what it does.
var proofs = map[string][]string{
	"AbortMultipartUpload":    {"TestAbortLeavesNothing", "TestUploadsThatDoNotExist"},
	"CompleteMultipartUpload": {"TestMultipartUpload", "TestCompleteUsesOnlyTheListedParts", "TestCompleteRefusesBadLists", "TestConditionalComplete"},
	"CopyObject":              {"TestCopyKeepsOrReplacesMetadata", "TestCopyOntoItself", "TestCopyConditions", "TestCopyRefusesBadSources"},
	"CreateBucket":            {"TestBucketsComeAndGo", "TestCreatingOnesOwnBucketAgain", "TestBucketNamesFollowTheRules"},
	"CreateMultipartUpload":   {"TestMultipartUpload", "TestMultipartChecksums"},
	"DeleteBucket":            {"TestBucketsComeAndGo", "TestABucketOnceDeletedStartsEmpty"},
	"DeleteObject":            {"TestOverwriteAndDeleteAreSeenAtOnce", "TestDeletingWhatIsNotThereSucceeds", "TestConditionalWritesAndDeletes"},
	"DeleteObjects":           {"TestDeletingManyAtOnce", "TestDeletingManyRefusesBadBodies", "TestDeletingManyNeedsAnIntegrityCheck"},
	"GetBucketLocation":       {"TestBucketLocation"},
	"GetObject":               {"TestObjectsOfEverySizeComeBack", "TestRanges", "TestConditionalReads", "TestResponseOverridesNeedASignature"},
	"GetObjectAttributes":     {"TestAttributesOfASimpleObject", "TestMultipartChecksums"},
	"GetObjectTagging":        {"TestTheTagsOfAnObjectAreNone"},
	"HeadBucket":              {"TestBucketsComeAndGo"},
	"HeadObject":              {"TestObjectsOfEverySizeComeBack", "TestHeadersAndUserMetadataAreKept", "TestConditionalReads"},
	"ListBuckets":             {"TestBucketsComeAndGo", "TestBucketListingPages"},
	"ListMultipartUploads":    {"TestListingUploadsPages"},
	"ListObjects":             {"TestListingVersionOne", "TestListingNeverReturnsOverAThousand"},
	"ListObjectsV2":           {"TestListingFiltersAndGroups", "TestListingPagesMeetWithoutGapOrOverlap", "TestListingEncodesKeysWhenAsked"},
	"ListParts":               {"TestListingPartsPages"},
	"PostObject":              {"TestPostForms", "TestPostFormsAnswerAsAsked", "TestPostFormsOutsideTheirPolicyStoreNothing"},
	"PutObject":               {"TestObjectsOfEverySizeComeBack", "TestConditionalWritesAndDeletes", "TestOfConditionalCreatorsOneWins", "TestChecksumsAreCheckedKeptAndReturned", "TestContentMD5IsChecked"},
	"UploadPart":              {"TestMultipartUpload", "TestAPartUploadedAgainReplacesTheFirst", "TestPartNumbersAreOneToTenThousand"},
	"UploadPartCopy":          {"TestUploadPartCopy"},
}

// notOfS3 are operations of the SDK that go to other services of Amazon, or belong to directory buckets and look like another operation here.
var notOfS3 = map[string]string{
	"ListDirectoryBuckets":   "of directory buckets",
	"WriteGetObjectResponse": "of S3 Object Lambda",
}

// refusedHeaders are headers of a PutObject that ask for what Garage does not do.
var refusedHeaders = []struct{ name, value, asks string }{
	{"x-amz-server-side-encryption", "AES256", "encryption by the server"},
	{"x-amz-server-side-encryption-customer-algorithm", "AES256", "encryption with a key of the client's"},
	{"x-amz-object-lock-mode", "GOVERNANCE", "object lock"},
	{"x-amz-acl", "public-read", "public access"},
	{"x-amz-grant-read", `id="someone"`, "access control lists"},
	{"x-amz-tagging", "a=b", "tags"},
	{"x-amz-write-offset-bytes", "0", "appending"},
}

func TestTheTagsOfAnObjectAreNone(t *testing.T) {
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	out, err := sdk().GetObjectTagging(testContext(t), &s3.GetObjectTaggingInput{Bucket: &bucket, Key: new("key")})
	require.NoError(t, err)
	require.Empty(t, out.TagSet)
}

// The SDK knows every operation of S3. Each that the gateway answers, other than with its refusal, must have a proof; with those that
// it refuses they make the page of the handbook, which must be up to date.
func TestTheTableOfCompatibilityIsTrue(t *testing.T) {
	require.NotEqual(t, deploy.External, deploy.Kind(), "the table is about Garage: leave it out with -test.skip TheTable")
	bucket := newBucket(t)
	put(t, bucket, "key", []byte("x"))
	supported, refused := []string{"PostObject"}, map[string]string{} // a form of browsers, which no SDK sends
	for _, name := range sdkOperations() {
		if notOfS3[name] != "" {
			continue
		}
		if answer := refusal(t, name, bucket); answer != "" {
			refused[name] = answer
		} else {
			supported = append(supported, name)
		}
	}
	slices.Sort(supported)
	require.Equal(t, slices.Sorted(maps.Keys(proofs)), supported, "an operation that the gateway answers needs a proof, and none other has one")
	require.Equal(t, routed(t), supported, "the operations of the gateway")
	tests := testNames(t)
	for name, proof := range proofs {
		require.Subset(t, tests, proof, name)
	}
	for _, h := range refusedHeaders {
		r := do(t, request{Method: "PUT", Bucket: bucket, Key: "other", Header: header(h.name, h.value)})
		checkError(t, 501, "NotImplemented", r, h.name)
	}
	absent(t, bucket, "other")

	root, err := deploy.Root()
	require.NoError(t, err)
	page, path := compatibility(supported, refused), filepath.Join(root, compatibilityPage)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(page), 0o644))
	}
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, page, string(written), "make handbook writes it again")
}

// compatibility is the page.
func compatibility(supported []string, refused map[string]string) string {
	var b strings.Builder
	b.WriteString(`# S3 compatibility

What follows is written by a test ("make handbook"), which sends each operation that Amazon's SDK for Go knows to a running Garage, and
fails if this page says anything else.

## Supported

Each operation is proved by tests of tools/systemtest/s3, which run on Garage in one process, on separate processes and on a cluster.

| Operation | Tests |
|---|---|
`)
	for _, name := range supported {
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(proofs[name], ", "))
	}
	b.WriteString(`
Requests are signed with signature version 4: in headers, in the URL (presigned), in a form, or by pieces of the body
(aws-chunked), with or without the hash of the payload. Addresses are in path style or virtual-host style.

## Refused

| Operation | Answer |
|---|---|
`)
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, refused[name])
	}
	b.WriteString("\nNot of the kind of service that Garage is, and not listed: ")
	for i, name := range slices.Sorted(maps.Keys(notOfS3)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", name, notOfS3[name])
	}
	b.WriteString(`.

## Headers that are refused

An operation that is supported is refused with ` + "`NotImplemented`" + ` (501), and changes nothing, if a header asks for what Garage does not do:

| Header | Asks for |
|---|---|
`)
	for _, h := range refusedHeaders {
		fmt.Fprintf(&b, "| `%s: %s` | %s |\n", h.name, h.value, h.asks)
	}
	b.WriteString("\nObjects have one version, `null`; no bucket keeps older ones yet.\n")
	return b.String()
}

// sdkOperations lists the operations that the SDK has.
func sdkOperations() []string {
	var all []string
	of := reflect.TypeFor[*s3.Client]()
	for i := range of.NumMethod() {
		m := of.Method(i)
		if m.Type.NumIn() == 4 && m.Type.NumOut() == 2 && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			all = append(all, m.Name)
		}
	}
	return all
}

// refusal sends an operation with what it cannot do without, and returns the status and the code if it is one that the gateway does not
// have, else "".
func refusal(t *testing.T, name, bucket string) string {
	t.Helper()
	method := reflect.ValueOf(sdk()).MethodByName(name)
	input := reflect.New(method.Type().In(1).Elem())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 10 {
		out := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
		err, _ := out[1].Interface().(error)
		var missing smithy.InvalidParamsError
		if errors.As(err, &missing) {
			for _, e := range missing.Errs() {
				var field smithy.InvalidParamError
				require.ErrorAs(t, e, &field)
				path := strings.Split(field.Field(), ".")
				require.NoError(t, fillMember(input.Elem(), path[1:], bucket), field.Field())
			}
			continue
		}
		var api smithy.APIError
		var answer *smithyhttp.ResponseError
		if err != nil {
			require.ErrorAs(t, err, &answer, "%s got no answer", name)
		}
		if errors.As(err, &api) && (api.ErrorCode() == "NotImplemented" || api.ErrorCode() == "MethodNotAllowed") {
			return fmt.Sprintf("`%s` (%d)", api.ErrorCode(), answer.HTTPStatusCode())
		}
		return ""
	}
	require.Fail(t, "the SDK still misses parameters", name)
	return ""
}

// fillMember gives the member at the path a value.
func fillMember(v reflect.Value, path []string, bucket string) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if len(path) > 0 {
		name, _, inSlice := strings.Cut(path[0], "[")
		member := v.FieldByName(name)
		if !member.IsValid() {
			return fmt.Errorf("%v has no %s", v.Type(), name)
		}
		if inSlice {
			member = member.Index(0)
		}
		if len(path) == 1 && name == "Bucket" && member.Kind() == reflect.Pointer {
			member.Set(reflect.ValueOf(&bucket))
			return nil
		}
		return fillMember(member, path[1:], bucket)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("key")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Index(0).Kind() == reflect.String {
			v.Index(0).SetString("key")
		}
	case reflect.Struct:
	case reflect.Interface:
		for _, some := range []any{strings.NewReader("x"), &types.ObjectEncryptionMemberSSEKMS{Value: types.SSEKMSEncryption{KMSKeyArn: new("key")}}} {
			if reflect.TypeOf(some).Implements(v.Type()) {
				v.Set(reflect.ValueOf(some))
				return nil
			}
		}
		return fmt.Errorf("no value for %v", v.Type())
	default:
		return fmt.Errorf("no value for %v", v.Type())
	}
	return nil
}

// routed are the operations of the gateway's one table of them.
func routed(t *testing.T) []string {
	t.Helper()
	root, err := deploy.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "services", "s3-gateway", "api", "routes.go"))
	require.NoError(t, err)
	var names []string
	for _, m := range regexp.MustCompile(`: +\{"(\w+)", \w+, \(\*API\)`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	slices.Sort(names)
	return names
}

// testNames are the tests of this package.
func testNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var names []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				names = append(names, f.Name.Name)
			}
		}
	}
	return names
}
