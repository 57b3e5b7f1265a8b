// Package axis is a content destination for body-worn systems that speak the Axis Body Worn Content Destination API, a small subset of
// OpenStack Swift: such a system pushes a recording as a container of objects (clips, a GPS trail, bookmarks), and says Status=Complete when
// all of it is there. From then on the container is a docking of package handoff: the agent reads its files, and the staged copy goes only on
// a checked permit.
//
// Sources: github.com/AxisCommunications/body-worn-integration-api (README, v1.6.10), docs.openstack.org/api-ref/object-store (v1),
// docs.openstack.org/swift (overview_auth: auth v1).
//
// What is staged, under the state folder; a name never is a path before it went through fileName:
//
//	accounts/ACCOUNT/CONTAINER/container.json   what is known of the container; without it the container is not there
//	accounts/ACCOUNT/CONTAINER/objects/NAME     what is known of an object; without it the object is not there
//	accounts/ACCOUNT/CONTAINER/parts/RANDOM     an object's bytes, until the container is complete
//	accounts/ACCOUNT/CONTAINER/files/NAME       the same once it is complete: what the agent reads
//	erased.jsonl                                what was erased, on which permit (package erase)
//
// The record of an object is renamed into place after its bytes are durable, so that a kill or a power cut at any moment leaves an object whole,
// as it was, or absent. What was begun is cleared away at the next start.
package axis
