// A server with Express: the body is used as it comes, and errors get Express' own pages.
import express from 'express'

const token = process.env.TOKEN
const steps = new Map()
let processes = 0

const app = express()
app.use(express.json())

app.post('/api/v1/processes/complete-step', (req, res) => {
  if (req.get('Authorization') !== `Bearer ${token}`) {
    return envelope(res, 401, 'Unauthorized request', 'Invalid token')
  }
  const { processStepId, params } = req.body
  if (!processStepId) {
    return res.status(400).json({ error: 'processStepId is required' })
  }
  const step = steps.get(processStepId)
  if (!step) {
    return res.status(404).json({ error: 'Step not found' })
  }
  if (step.status !== 'STARTED') {
    return envelope(res, 412, 'Precondition failed', { status: step.status })
  }
  step.status = 'COMPLETED'
  const next = steps.get(step.nextId)
  if (next) next.status = 'STARTED'
  envelope(res, 200, 'Step completed', {
    processId: step.processId,
    processStepId: next?.id,
    params: { ...next?.params, ...params },
  })
})

app.post('/seeds', (req, res) => {
  res.json({
    started: Array.from({ length: 5 }, () => start()[0].id),
    pending: [start()[2].id],
    failed: [start({ status: 'FAILED' })[0].id],
    expired: [start({ status: 'EXPIRED' })[0].id],
    last: [start({ length: 1 })[0].id],
  })
})

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
// The server ends with whoever has started it.
process.stdin.on('end', () => process.exit()).resume()

function envelope(res, status, message, data) {
  res.status(status).json({ message, timestamp: new Date(), data, version: '1.0.0' })
}

function start({ length = 4, status = 'STARTED' } = {}) {
  const processId = `process-${++processes}`
  const idOf = (position) => `${processId}-step-${position}`
  const started = Array.from({ length }, (_, index) => ({
    id: idOf(index + 1),
    processId,
    nextId: idOf(index + 2),
    status: index ? 'PENDING' : status,
    params: index === 1 ? { carrier: { strValue: 'Parcel Post', type: 'STRING' } } : {},
  }))
  for (const step of started) steps.set(step.id, step)
  return started
}
