package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"
)

// The methods of backend.Backend that only translate the name of the bucket.

func (r *rooted) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.HeadBucket(ctx, &c)
	return out, fix(err)
}

func (r *rooted) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.GetBucketAcl(ctx, &c)
	return out, fix(err)
}

func (r *rooted) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.ListMultipartUploads(ctx, &c)
	out.Bucket = deref(in.Bucket)
	return out, fix(err)
}

func (r *rooted) ListParts(ctx context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.ListParts(ctx, &c)
	out.Bucket = deref(in.Bucket)
	return out, fix(err)
}

func (r *rooted) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.HeadObject(ctx, &c)
	return out, fix(err)
}

func (r *rooted) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.GetObject(ctx, &c)
	return out, fix(err)
}

func (r *rooted) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.GetObjectAttributes(ctx, &c)
	return out, fix(err)
}

func (r *rooted) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.ListObjects(ctx, &c)
	out.Name = in.Bucket
	return out, fix(err)
}

func (r *rooted) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.ListObjectsV2(ctx, &c)
	out.Name = in.Bucket
	return out, fix(err)
}

func (r *rooted) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	out, err := r.p.ListObjectVersions(ctx, &c)
	out.Name = in.Bucket
	return out, fix(err)
}

func (r *rooted) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput) error {
	c := *in
	c.Bucket = r.ptr(in.Bucket)
	return fix(r.p.AbortMultipartUpload(ctx, &c))
}

func (r *rooted) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	bucket := deref(in.Bucket)
	in.Bucket = r.ptr(in.Bucket)
	out, err := r.p.CreateMultipartUpload(ctx, in)
	out.Bucket = bucket
	return out, fix(err)
}

func (r *rooted) PutBucketAcl(ctx context.Context, bucket string, data []byte) error {
	return fix(r.p.PutBucketAcl(ctx, r.abs(bucket), data))
}

func (r *rooted) DeleteBucket(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucket(ctx, r.abs(bucket)))
}

func (r *rooted) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	return fix(r.p.PutBucketVersioning(ctx, r.abs(bucket), status))
}

func (r *rooted) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	out, err := r.p.GetBucketVersioning(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	return fix(r.p.PutBucketPolicy(ctx, r.abs(bucket), policy))
}

func (r *rooted) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	out, err := r.p.GetBucketPolicy(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucketPolicy(ctx, r.abs(bucket)))
}

func (r *rooted) PutBucketOwnershipControls(ctx context.Context, bucket string, o types.ObjectOwnership) error {
	return fix(r.p.PutBucketOwnershipControls(ctx, r.abs(bucket), o))
}

func (r *rooted) GetBucketOwnershipControls(ctx context.Context, bucket string) (types.ObjectOwnership, error) {
	out, err := r.p.GetBucketOwnershipControls(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) DeleteBucketOwnershipControls(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucketOwnershipControls(ctx, r.abs(bucket)))
}

func (r *rooted) PutBucketCors(ctx context.Context, bucket string, data []byte) error {
	return fix(r.p.PutBucketCors(ctx, r.abs(bucket), data))
}

func (r *rooted) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	out, err := r.p.GetBucketCors(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) DeleteBucketCors(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucketCors(ctx, r.abs(bucket)))
}

func (r *rooted) PutBucketWebsite(ctx context.Context, bucket string, data []byte) error {
	return fix(r.p.PutBucketWebsite(ctx, r.abs(bucket), data))
}

func (r *rooted) GetBucketWebsite(ctx context.Context, bucket string) ([]byte, error) {
	out, err := r.p.GetBucketWebsite(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucketWebsite(ctx, r.abs(bucket)))
}

func (r *rooted) GetBucketTagging(ctx context.Context, bucket string) (map[string]string, error) {
	out, err := r.p.GetBucketTagging(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) PutBucketTagging(ctx context.Context, bucket string, tags map[string]string) error {
	return fix(r.p.PutBucketTagging(ctx, r.abs(bucket), tags))
}

func (r *rooted) DeleteBucketTagging(ctx context.Context, bucket string) error {
	return fix(r.p.DeleteBucketTagging(ctx, r.abs(bucket)))
}

func (r *rooted) GetObjectTagging(ctx context.Context, bucket string, object string, versionID string) (map[string]string, error) {
	out, err := r.p.GetObjectTagging(ctx, r.abs(bucket), object, versionID)
	return out, fix(err)
}

func (r *rooted) PutObjectTagging(ctx context.Context, bucket string, object string, versionID string, tags map[string]string) error {
	return fix(r.p.PutObjectTagging(ctx, r.abs(bucket), object, versionID, tags))
}

func (r *rooted) DeleteObjectTagging(ctx context.Context, bucket string, object string, versionID string) error {
	return fix(r.p.DeleteObjectTagging(ctx, r.abs(bucket), object, versionID))
}

func (r *rooted) PutObjectLockConfiguration(ctx context.Context, bucket string, config []byte) error {
	return fix(r.p.PutObjectLockConfiguration(ctx, r.abs(bucket), config))
}

func (r *rooted) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	out, err := r.p.GetObjectLockConfiguration(ctx, r.abs(bucket))
	return out, fix(err)
}

func (r *rooted) PutObjectRetention(ctx context.Context, bucket string, object string, versionID string, retention []byte) error {
	return fix(r.p.PutObjectRetention(ctx, r.abs(bucket), object, versionID, retention))
}

func (r *rooted) GetObjectRetention(ctx context.Context, bucket string, object string, versionID string) ([]byte, error) {
	out, err := r.p.GetObjectRetention(ctx, r.abs(bucket), object, versionID)
	return out, fix(err)
}

func (r *rooted) PutObjectLegalHold(ctx context.Context, bucket string, object string, versionID string, status bool) error {
	return fix(r.p.PutObjectLegalHold(ctx, r.abs(bucket), object, versionID, status))
}

func (r *rooted) GetObjectLegalHold(ctx context.Context, bucket string, object string, versionID string) (*bool, error) {
	out, err := r.p.GetObjectLegalHold(ctx, r.abs(bucket), object, versionID)
	return out, fix(err)
}

func (r *rooted) ChangeBucketOwner(ctx context.Context, bucket string, owner string) error {
	return fix(r.p.ChangeBucketOwner(ctx, r.abs(bucket), owner))
}
