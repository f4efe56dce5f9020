package bucket

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thanos-io/objstore/providers/azure"
	"github.com/thanos-io/objstore/providers/bos"
	"github.com/thanos-io/objstore/providers/cos"
	"github.com/thanos-io/objstore/providers/gcs"
	"github.com/thanos-io/objstore/providers/obs"
	"github.com/thanos-io/objstore/providers/oci"
	"github.com/thanos-io/objstore/providers/oss"
	"github.com/thanos-io/objstore/providers/s3"
	"github.com/thanos-io/objstore/providers/swift"
)

// The providers.
const (
	Filesystem = "filesystem"
	S3         = "s3"
	GCS        = "gcs"
	Azure      = "azure"
	Swift      = "swift"
	COS        = "cos"
	OSS        = "oss"
	BOS        = "bos"
	OCI        = "oci"
	OBS        = "obs"
)

var providers = []string{Filesystem, S3, GCS, Azure, Swift, COS, OSS, BOS, OCI, OBS}

// Config are the user's settings, the section `bucket` of the configuration. Only the section of the
// chosen provider is used; its keys are those of github.com/thanos-io/objstore, as in Thanos, Mimir
// and Cortex.
type Config struct {
	// Where blocks are kept: filesystem, s3 (and everything compatible with it), gcs, azure, swift,
	// cos (Tencent), oss (Alibaba), bos (Baidu), oci (Oracle) or obs (Huawei). Default filesystem.
	Provider string `yaml:"provider"`
	// Put before the name of every object, so that several programs can share a bucket. Default "".
	Prefix string `yaml:"prefix"`
	// Settings of `provider: filesystem`.
	Filesystem FilesystemConfig `yaml:"filesystem"`
	// Settings of `provider: s3`: bucket, endpoint, region, access_key, secret_key, insecure (plain
	// HTTP), and the rest.
	S3 s3.Config `yaml:"s3"`
	// Settings of `provider: gcs`: bucket, service_account.
	GCS gcs.Config `yaml:"gcs"`
	// Settings of `provider: azure`: storage_account, storage_account_key, container.
	Azure azure.Config `yaml:"azure"`
	// Settings of `provider: swift`: auth_url, username, password, container_name.
	Swift swift.Config `yaml:"swift"`
	// Settings of `provider: cos`: bucket, region, app_id, secret_id, secret_key.
	COS cos.Config `yaml:"cos"`
	// Settings of `provider: oss`: bucket, endpoint, access_key_id, access_key_secret.
	OSS oss.Config `yaml:"oss"`
	// Settings of `provider: bos`: bucket, endpoint, access_key, secret_key.
	BOS bos.Config `yaml:"bos"`
	// Settings of `provider: oci`: provider, bucket, compartment_ocid, tenancy_ocid.
	OCI oci.Config `yaml:"oci"`
	// Settings of `provider: obs`: bucket, endpoint, access_key, secret_key.
	OBS obs.Config `yaml:"obs"`
}

// FilesystemConfig are the settings of the filesystem provider.
type FilesystemConfig struct {
	// The folder. Default "": `bucket` in the data folder.
	Directory string `yaml:"directory"`
}

// DefaultConfig returns the defaults: the filesystem, and for the others what objstore defaults to.
func DefaultConfig() Config {
	c := Config{
		Provider: Filesystem,
		S3:       s3.DefaultConfig, GCS: gcs.DefaultConfig, Azure: azure.DefaultConfig,
		Swift: swift.DefaultConfig, COS: cos.DefaultConfig, OCI: oci.DefaultConfig, OBS: obs.DefaultConfig,
	}
	c.S3.PutUserMetadata = map[string]string{} // the default's map is shared
	return c
}

// Validate reports every fault of c that can be seen without asking the provider.
func (c Config) Validate() error {
	var errs []error
	if !slices.Contains(providers, c.Provider) {
		errs = append(errs, fmt.Errorf("provider: %q is none of %s", c.Provider, strings.Join(providers, ", ")))
	}
	if c.Prefix != "" {
		if err := checkName(strings.Trim(c.Prefix, "/")); err != nil {
			errs = append(errs, fmt.Errorf("prefix: %w", err))
		}
	}
	need := func(key, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("%s.%s: missing", c.Provider, key))
		}
	}
	switch c.Provider {
	case S3:
		need("bucket", c.S3.Bucket)
		need("endpoint", c.S3.Endpoint)
		if strings.Contains(c.S3.Endpoint, "://") {
			errs = append(errs, fmt.Errorf("s3.endpoint: %q must be host[:port] without a scheme; set `insecure: true` for plain HTTP", c.S3.Endpoint))
		}
	case GCS:
		need("bucket", c.GCS.Bucket)
	case Azure:
		need("container", c.Azure.ContainerName)
	case Swift:
		need("container_name", c.Swift.ContainerName)
	case OSS:
		need("bucket", c.OSS.Bucket)
	case BOS:
		need("bucket", c.BOS.Bucket)
	case OCI:
		need("bucket", c.OCI.Bucket)
	case OBS:
		need("bucket", c.OBS.Bucket)
	}
	return errors.Join(errs...)
}

// section returns objstore's name of the provider and the provider's own settings.
func (c Config) section() (kind string, conf any) {
	switch c.Provider {
	case S3:
		return "S3", c.S3
	case GCS:
		return "GCS", c.GCS
	case Azure:
		return "AZURE", c.Azure
	case Swift:
		return "SWIFT", c.Swift
	case COS:
		return "COS", c.COS
	case OSS:
		return "ALIYUNOSS", c.OSS
	case BOS:
		return "BOS", c.BOS
	case OCI:
		return "OCI", c.OCI
	case OBS:
		return "OBS", c.OBS
	}
	return "", nil
}
