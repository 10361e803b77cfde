import tseslint from 'typescript-eslint'

/** Files longer than the cap because they are tables: nothing else may be listed here. */
const tables = []

/**
 * Cores are sans-I/O (DESIGN: "State machines"): time comes in as `now`, randomness as a function, disk and network as
 * effects. `core/index.ts` files count as core too.
 */
const cores = [
  'protocol/src/**/*.ts',
  '*/src/core/**/*.ts',
  'mesh/src/courier/**/*.ts',
  'mesh/src/lan/neighbours.ts',
  'gateway/src/sparkplug/**/*.ts',
]

const why = 'A core is sans-I/O: take this from outside.'
const outside = [
  'fs',
  'fs/promises',
  'net',
  'tls',
  'dgram',
  'dns',
  'dns/promises',
  'http',
  'http2',
  'https',
  'os',
  'child_process',
  'cluster',
  'worker_threads',
  'timers',
  'timers/promises',
  'perf_hooks',
  'process',
  'readline',
  'stream',
]
const timers = [
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
]
const ambient = [
  ...timers,
  'Date',
  'performance',
  'crypto',
  'process',
  'fetch',
  'WebSocket',
  'queueMicrotask',
]
const randomness = [
  'default',
  'randomBytes',
  'randomFill',
  'randomFillSync',
  'randomInt',
  'randomUUID',
  'getRandomValues',
  'webcrypto',
  'generateKey',
  'generateKeySync',
  'generateKeyPair',
  'generateKeyPairSync',
  'generatePrime',
  'generatePrimeSync',
  'checkPrime',
  'checkPrimeSync',
]
const outsidePaths = outside.flatMap((name) => [
  { name, message: why },
  { name: `node:${name}`, message: why },
])
const randomPaths = ['crypto', 'node:crypto'].map((name) => ({ name, importNames: randomness, message: why }))
const bans = {
  'no-restricted-globals': ['error', ...ambient.map((name) => ({ name, message: why }))],
  'no-restricted-properties': [
    'error',
    { object: 'Math', property: 'random', message: why },
    ...ambient.map((property) => ({ object: 'globalThis', property, message: why })),
  ],
  // The portable libraries bring a randomness of their own.
  'no-restricted-syntax': [
    'error',
    { selector: 'ImportSpecifier[imported.name=/^random(Bytes|SecretKey|PrivateKey)/]', message: why },
    {
      selector:
        'MemberExpression[property.name=/^(random(Bytes|SecretKey|PrivateKey|UUID)|getRandomValues)$/]',
      message: why,
    },
    { selector: 'CallExpression[callee.property.name="keygen"][arguments.length=0]', message: why },
    {
      selector: 'ImportExpression',
      message: 'A core imports statically, so that its imports can be checked.',
    },
  ],
}

export default tseslint.config(
  { ignores: ['**/dist/', '.tap/', '**/node_modules/', '**/.fieldwhisper/', 'docs/schema/'] },
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'prefer-const': 'error',
      'no-constant-condition': ['error', { checkLoops: 'allExceptWhileTrue' }],
      'no-empty': 'error',
      'no-eval': 'error',
      'no-new-func': 'error',
      'no-self-compare': 'error',
      'no-template-curly-in-string': 'error',
      'no-unreachable': 'error',
      'no-unsafe-finally': 'error',
      'no-useless-rename': 'error',
    },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      // `bytes[i]!` after a length check is how binary formats read under noUncheckedIndexedAccess.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      // `async` without `await` is how an interface that promises is met by code that need not wait.
      '@typescript-eslint/require-await': 'off',
      // Underscore says: part of the signature, not needed here.
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      'no-console': 'error',
    },
  },
  {
    files: ['*/src/**/*.ts'],
    ignores: tables,
    rules: { 'max-lines': ['error', 500] },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      'max-lines': ['error', 800],
      // A test hands over what the types forbid, and reads JSON that it asserts afterwards.
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/explicit-module-boundary-types': 'off',
      // tap waits for its subtests and its promised assertions itself.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: '@tapjs/test', name: ['test'] },
            { from: 'package', package: '@tapjs/asserts', name: ['rejects', 'resolves', 'resolveMatch'] },
          ],
        },
      ],
    },
  },
  {
    files: cores,
    rules: { ...bans, 'no-restricted-imports': ['error', { paths: [...outsidePaths, ...randomPaths] }] },
  },
  {
    files: ['**/cli.ts', '**/cli/**/*.ts', 'examples/src/**/*.ts', 'test/bench/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
)
