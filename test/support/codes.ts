/** The stable error and event codes (`FW_...`), where the source says them and where docs/errors.md explains them. */
import ts from 'typescript'

const CODE = /^FW_[A-Z0-9]+(_[A-Z0-9]+)*$/

/**
 * Codes among the string literals of a source text; comments do not count. A code that is put together at run time
 * could not be found in the documentation, so its beginning is returned under `composed`.
 */
export function codesIn(text: string): { codes: string[]; composed: string[] } {
  const codes: string[] = []
  const composed: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) {
      if (CODE.test(node.text)) codes.push(node.text)
      else if (/^FW_[A-Z0-9_]*_$/.test(node.text)) composed.push(node.text)
    } else if (ts.isTemplateHead(node) && /^FW_[A-Z0-9_]*$/.test(node.text)) {
      composed.push(node.text)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('x.ts', text, ts.ScriptTarget.ES2023))
  return { codes, composed }
}

/** Codes that have a heading of their own, in order, repeats included: `### FW_RELAY_PROOF_INVALID`. */
export function documentedCodes(markdown: string): string[] {
  return [...markdown.matchAll(/^#{2,4} `?(FW_[A-Z0-9_]+)`?\s*$/gm)].map((match) => match[1] ?? '')
}

/** Headings with nothing below them. */
export function emptyParagraphs(markdown: string): string[] {
  const sections = markdown.split(/^#{2,4} /m).slice(1)
  return sections.flatMap((section) => {
    const [heading = '', ...body] = section.split('\n')
    return heading.includes('FW_') && body.join('').trim().length < 20 ? [heading.trim()] : []
  })
}
