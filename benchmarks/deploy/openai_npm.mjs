// The client `openai` of npm against a front that serves the models first and second: npm i openai; node openai_npm.mjs URL KEY
import OpenAI from 'openai';
const c = new OpenAI({ baseURL: process.argv[2] + '/v1', apiKey: process.argv[3], maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello' }];
for await (const m of c.models.list()) console.log('model', m.id);
const whole = await c.chat.completions.create({ model: 'first', messages, max_tokens: 12 });
const stream = await c.chat.completions.create({ model: 'first', messages, max_tokens: 12, stream: true, stream_options: { include_usage: true } });
let text = '', usage;
for await (const e of stream) { text += e.choices[0]?.delta?.content ?? ''; usage = e.usage ?? usage; }
console.log('same', text === whole.choices[0].message.content, usage.completion_tokens, whole.usage.completion_tokens);
const completion = await c.completions.create({ model: 'second', prompt: 'Once', max_tokens: 5, logprobs: 1 });
console.log('completion', completion.choices[0].text.length, completion.choices[0].logprobs.tokens.length);
const streamed = []; for await (const e of await c.completions.create({ model: 'second', prompt: 'Once', max_tokens: 5, stream: true })) streamed.push(e.choices[0].text);
console.log('streamed completion same', streamed.join('') === completion.choices[0].text);
const p = await c.chat.completions.create({ model: 'first', messages, max_tokens: 60, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'], additionalProperties: false } } } });
console.log('schema', JSON.parse(p.choices[0].message.content));
for (const [name, body] of Object.entries({ unknown: { model: 'third', messages }, empty: { model: 'first', messages: [] }, tools: { model: 'first', messages, tools: [{ type: 'function', function: { name: 'f' } }] } })) {
  try { await c.chat.completions.create(body); console.log(name, 'no error'); } catch (e) { console.log(name, e.constructor.name, e.status, e.code, e.param); }
}
try { await new OpenAI({ baseURL: process.argv[2] + '/v1', apiKey: 'wrong' }).models.list(); } catch (e) { console.log('key', e.constructor.name, e.status); }
