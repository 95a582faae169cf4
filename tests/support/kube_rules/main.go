// Judges Kubernetes objects, as YAML on standard input, by the API server's own code: they are decoded strictly, get its
// defaults, and pass what it asks of an object that is created; pods also have to be restricted. It prints what is wrong,
// a line each, and exits with 1 then.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corev1conversion "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	corev1 "k8s.io/api/core/v1"
)

func main() {
	complaints, err := judgeAll(os.Stdin)
	if err != nil {
		complaints = append(complaints, err.Error())
	}
	for _, complaint := range complaints {
		fmt.Println(complaint)
	}
	if len(complaints) > 0 {
		os.Exit(1)
	}
}

func judgeAll(input io.Reader) ([]string, error) {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDecoder()
	documents := yaml.NewYAMLReader(bufio.NewReader(input))
	var complaints []string
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return complaints, nil
		}
		if err != nil {
			return complaints, err
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if err != nil {
			complaints = append(complaints, err.Error())
			continue
		}
		for _, err := range judge(asked(*kind), object) {
			complaints = append(complaints, fmt.Sprintf("%s: %s", kind.Kind, err))
		}
	}
}

// asked is the context of a request that creates an object of a kind.
func asked(kind schema.GroupVersionKind) context.Context {
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return request.WithRequestInfo(context.Background(), &request.RequestInfo{
		IsResourceRequest: true, Verb: "create", APIGroup: kind.Group, APIVersion: kind.Version, Resource: resource.Resource,
	})
}

func judge(ctx context.Context, object runtime.Object) []error {
	switch typed := object.(type) {
	case *batch.CronJob:
		return append(created(ctx, cronjob.Strategy, object), restricted(&typed.Spec.JobTemplate.Spec.Template)...)
	case *core.Namespace:
		return created(ctx, namespace.Strategy, object)
	case *core.PersistentVolumeClaim:
		return created(ctx, persistentvolumeclaim.Strategy, object)
	case *core.ServiceAccount:
		return created(ctx, serviceaccount.Strategy, object)
	case *networking.NetworkPolicy:
		return created(ctx, networkpolicy.Strategy, object)
	}
	return []error{errors.New("is of a kind that is not judged here")}
}

func created(ctx context.Context, strategy rest.RESTCreateStrategy, object runtime.Object) []error {
	metadata, err := meta.Accessor(object)
	if err != nil {
		return []error{err}
	}
	ctx = request.WithNamespace(ctx, metadata.GetNamespace())
	rest.FillObjectMetaSystemFields(metadata)
	if err := rest.BeforeCreate(strategy, ctx, object); err != nil {
		return []error{err}
	}
	var warnings []error
	for _, warning := range strategy.WarningsOnCreate(ctx, object) {
		warnings = append(warnings, errors.New(warning))
	}
	return warnings
}

func restricted(template *core.PodTemplateSpec) []error {
	var pod corev1.PodTemplateSpec
	if err := corev1conversion.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(template, &pod, nil); err != nil {
		return []error{err}
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []error{err}
	}
	level := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if result.Allowed {
		return nil
	}
	return []error{errors.New("the pod is not restricted: " + result.ForbiddenDetail())}
}
